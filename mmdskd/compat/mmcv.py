"""What MMCV 2 needs."""

import warnings


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
