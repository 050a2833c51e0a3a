"""What MMCV 2 needs."""

import warnings

from mmdskd.version import satisfies

# Of these, and not yet 3, MMRazor 1.0.0 and MMPretrain know nothing.
UNKNOWN_MMCV = '>2.1.0,<3'
KNOWN_MMENGINE = '>=0.8.3,<1.0'


def hide_missing_attention() -> None:
    """Hide that ``mmcv-lite`` has no ``MultiScaleDeformableAttention``.

    MMCV warns of it whenever MMPretrain is imported, but no classifier needs
    it. Every other warning is shown.
    """
    warnings.filterwarnings(
        'ignore',
        r'Fail to import ``MultiScaleDeformableAttention``',
        UserWarning,
        r'mmcv\.cnn\.bricks\.transformer$',
    )


def is_newer_than_asserted() -> bool:
    """Whether MMCV is newer than MMRazor 1.0.0 takes, and works all the same.

    MMRazor asserts MMCV <= 2.1.0, MMPretrain 1.1 asserts < 2.2.0 and 1.2
    < 2.4.0, each when it is imported (mmcv#3096). Nothing that
    they use has changed in 2.2.0, nor in the releases of OneDL, which start
    at 2.3.0. The same statements check MMEngine, so that is looked at, too.

    Returns:
        bool: Whether their assertions are to be left out.
    """
    import mmcv
    import mmengine

    return satisfies(mmcv.__version__, UNKNOWN_MMCV) and satisfies(
        mmengine.__version__, KNOWN_MMENGINE
    )
