"""Stacks for the tests of the doctor."""

from mmdskd.doctor import Stack

COMMON = {
    'torch': '2.14.1+cpu',
    'torchvision': '0.29.1+cpu',
    'numpy': '2.4.6',
    'opencv-python-headless': '5.0.0.93',
    'mmrazor': '1.0.0',
    'joblib': '1.6.0',
}
OPENMMLAB = {
    **COMMON,
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmpretrain': '1.2.0',
}
ONEDL = {
    **COMMON,
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
}
REQUIREMENTS = ('numpy', 'torch ==2.14.1 ; extra != "x"')


def make(packages=OPENMMLAB, changes=(), **options):
    """Make a stack of packages and changes; one that is None is left out."""
    versions = {**packages, **dict(changes)}
    options.setdefault('requirements', REQUIREMENTS)
    options.setdefault('python', (3, 12, 1))
    return Stack(
        {name: version for name, version in versions.items() if version},
        **options,
    )
