"""What it takes to run MMRazor 1.0.0 on torch 1.13 to 2.14.

MMRazor and MMEngine are no longer developed, PyTorch, numpy and setuptools
are. Each function here works around one thing that broke in between, names
the upstream issue, does nothing where it is not needed, and may run twice.
``import mmdskd`` runs them all, and must come before
``import mmrazor.models``.
"""

import warnings

import torch
from mmengine.utils import digit_version

from .mmengine import (
    add_mmdskd_config_paths,
    allow_mmengine_checkpoints,
    find_packages_without_pkg_resources,
    load_local_checkpoints_safely,
)
from .mmrazor import (
    allow_classes_of_any_size,
    disable_inplace_modules,
    name_arguments_of_group_fisher_units,
    replace_mmcls,
    replace_quantization,
)

MIN_TORCH = '1.13'
MAX_TORCH = '2.14'


def apply_patches() -> None:
    """Make the installed stack work; called by ``import mmdskd``."""
    check_torch_version()
    find_packages_without_pkg_resources()
    add_mmdskd_config_paths()
    allow_mmengine_checkpoints()
    load_local_checkpoints_safely()
    replace_quantization()
    disable_inplace_modules()
    replace_mmcls()
    allow_classes_of_any_size()
    name_arguments_of_group_fisher_units()


def check_torch_version() -> None:
    """Refuse a torch that is too old, and warn of one never tried.

    Raises:
        ImportError: torch is older than ``MIN_TORCH``.
    """
    version = digit_version(torch.__version__)
    if version < digit_version(MIN_TORCH):
        raise ImportError(
            f'torch should be >= {MIN_TORCH}, but got {torch.__version__}'
        )
    if version[:2] > digit_version(MAX_TORCH)[:2]:
        warnings.warn(
            f'mmdskd was tested on torch {MIN_TORCH} to {MAX_TORCH}, not on '
            f'{torch.__version__}. If something breaks, try '
            f'`pip install "torch<={MAX_TORCH}.*" torchvision`.'
        )
