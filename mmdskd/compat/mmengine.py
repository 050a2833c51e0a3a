"""What MMEngine 0.10 needs.

A patch gets the module that has just been imported. Until one runs, neither
torch nor MMEngine is imported.
"""

import functools
import importlib.util
import os.path as osp
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

from mmdskd.version import installed_version

if TYPE_CHECKING:
    from mmdskd.utils.checkpoint import MapLocation

# Packages that OneDL maintains, by their names of OpenMMLab
ONEDL_PACKAGES = {
    'mmdet': 'onedl-mmdetection',
    'mmpretrain': 'onedl-mmpretrain',
    'mmrotate': 'onedl-mmrotate',
    'mmsegmentation': 'onedl-mmsegmentation',
}


def find_distribution(package: str) -> Optional[metadata.Distribution]:
    """Find a package by its name on the index, as OpenMMLab's or OneDL's."""
    for name in (package, ONEDL_PACKAGES.get(package, f'onedl-{package}')):
        try:
            return metadata.distribution(name)
        except metadata.PackageNotFoundError:
            pass
    return None


def is_installed(package: str) -> bool:
    """Whether a package is installed or importable.

    Args:
        package (str): Name of the package, or of its module.

    Returns:
        bool: Whether it is there.
    """
    if find_distribution(package) is not None:
        return True
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """Get the folder of an installed package.

    Args:
        package (str): Name of the package, or of its module.

    Returns:
        str: The folder of its module.

    Raises:
        ModuleNotFoundError: It is not installed.
        RuntimeError: It is a namespace package, which has no folder.
    """
    module = package
    if importlib.util.find_spec(module) is None:
        # The module is named otherwise, such as mmseg of mmsegmentation.
        distribution = find_distribution(package)
        if distribution is not None:
            top_level = distribution.read_text('top_level.txt')
            module = (top_level or package).split()[0]
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(f'package "{package}" is not installed')
    if spec.origin is None:
        raise RuntimeError(
            f'"{package}" should be a regular package, but it is a '
            'namespace package, which has no folder of its own'
        )
    return osp.dirname(spec.origin)


def find_packages_without_pkg_resources(module: ModuleType) -> None:
    """Let MMEngine find packages by ``importlib``.

    MMEngine reads ``package::path`` configs by ``pkg_resources``, which
    setuptools >= 82 no longer ships (mmcv#3325 is the same break), and
    which does not find the folder of a package that ``pip install -e``
    linked.

    Args:
        module (ModuleType): One that defines or imports these functions.
    """
    for function in (is_installed, get_installed_path):
        if hasattr(module, function.__name__):
            setattr(module, function.__name__, function)


def refuse_missing_packages(module: ModuleType) -> None:
    """Let MMEngine install no package when a config names one.

    ``get_config('mmcls::...')``, which MMRazor's ``cfg_path`` and MMPretrain
    call too, runs ``pip install`` of an unknown or old package unasked, which
    breaks the environment.

    Args:
        module (ModuleType): ``mmengine.config.config`` or
            ``mmengine.hub.hub``.
    """
    split = module._get_package_and_cfg_path
    if getattr(split, 'is_checked', False):
        return

    @functools.wraps(split)
    def check_and_split(cfg_path: str) -> tuple[str, str]:
        from mmengine.config.utils import MODULE2PACKAGE

        from mmdskd.utils.package_names import check_package_name

        check_package_name(
            cfg_path, MODULE2PACKAGE, is_installed, get_installed_path
        )
        return split(cfg_path)

    check_and_split.is_checked = True  # type: ignore[attr-defined]
    for name, function in (
        ('_get_package_and_cfg_path', check_and_split),
        ('install_package', refuse_to_install),
    ):
        if hasattr(module, name):
            setattr(module, name, function)


def refuse_to_install(package: str) -> None:
    """Stand in for the function of MMEngine that runs ``pip install``.

    Args:
        package (str): Name of the package.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    if not is_installed(package):
        is_onedl = installed_version('onedl-mmengine') is not None
        name = ONEDL_PACKAGES.get(package, package) if is_onedl else package
        raise ModuleNotFoundError(
            f'{package} should be installed, but is not. No tool installs a '
            f'package: run "pip install {name}" yourself',
            name=package,
        )


def add_mmdskd_config_paths(config_utils: ModuleType) -> None:
    """Let ``mmdskd::...`` name a config of this package.

    MMEngine takes only the packages of a fixed table.

    Args:
        config_utils (ModuleType): ``mmengine.config.utils``.
    """
    config_utils.MODULE2PACKAGE['mmdskd'] = 'mmdskd'


def allow_mmengine_checkpoints(checkpoint: ModuleType) -> None:
    """Let ``weights_only=True`` read what MMEngine saves for a resume.

    It is the default of ``torch.load`` from torch 2.6 on, and refuses
    MMEngine's ``HistoryBuffer`` (mmengine#1650, #1655). Exactly the names of
    ``MMENGINE_GLOBALS`` are allowed; the ``getattr`` among them is a
    stand-in.

    Args:
        checkpoint (ModuleType): ``mmengine.runner.checkpoint``.
    """
    from mmdskd.utils.checkpoint import allow_mmengine_globals

    allow_mmengine_globals()


def load_from_local(filename: str, map_location: 'MapLocation' = None) -> dict:
    """Load a checkpoint from a local path, for MMEngine.

    Args:
        filename (str): Path of the checkpoint.
        map_location: Where to put the tensors, as in :func:`torch.load`.

    Returns:
        dict: The checkpoint.
    """
    from mmdskd.utils.checkpoint import load_checkpoint_file

    return load_checkpoint_file(filename, map_location)


def load_local_checkpoints_safely(checkpoint: ModuleType) -> None:
    """Make MMEngine read local checkpoints by ``load_checkpoint_file``.

    MMEngine calls ``torch.load`` as it is, which runs any code in the file on
    torch < 2.6. So a teacher, a resume and ``load_from`` are read safely on
    every torch, with the same errors; below torch 2.6 this refuses files
    with other classes that would have loaded before. Checkpoints from a URL
    are still loaded as MMEngine does.

    Args:
        checkpoint (ModuleType): ``mmengine.runner.checkpoint``.
    """
    checkpoint.CheckpointLoader.register_scheme(
        '', load_from_local, force=True
    )


def refuse_unsafe_fallback(checkpoint: ModuleType) -> None:
    """Let OneDL load no checkpoint with ``weights_only=False``.

    Its loaders allow the real ``getattr``, and turn ``weights_only`` off if a
    file is refused, so a crafted one runs its code. Local files do not get
    there, see :func:`load_local_checkpoints_safely`; those from servers do.
    Nothing changes on torch < 2.4, which has no list to extend.

    Args:
        checkpoint (ModuleType): ``mmengine.runner.checkpoint``.
    """
    from mmdskd.utils.checkpoint import (
        MMENGINE_GLOBALS,
        allow_mmengine_globals,
    )

    torch = checkpoint.torch
    if not hasattr(checkpoint, '_safe_torch_load') or not hasattr(
        torch.serialization, 'add_safe_globals'
    ):
        return

    def load(
        file: Any,
        map_location: 'MapLocation' = None,
        weights_only: Optional[bool] = None,  # always True here
    ) -> Any:
        allow_mmengine_globals()
        return torch.load(file, map_location=map_location, weights_only=True)

    checkpoint._safe_torch_load = load  # type: ignore[attr-defined]
    checkpoint.get_torch_safe_globals = (  # type: ignore[attr-defined]
        lambda: list(MMENGINE_GLOBALS.values())
    )


def find_modules_without_pkgutil(module: ModuleType) -> None:
    """Let MMEngine and MMCV look for compiled operators on Python 3.14.

    They ask ``pkgutil.find_loader``, which is gone. (No issue of it is known;
    OneDL has mended it.)

    Args:
        module (ModuleType): One that imports ``pkgutil``.
    """
    pkgutil = getattr(module, 'pkgutil', None)
    if pkgutil is not None and not hasattr(pkgutil, 'find_loader'):
        module.pkgutil = SimpleNamespace(  # type: ignore[attr-defined]
            find_loader=importlib.util.find_spec
        )


def copy_data_sets_afresh(base_dataset: ModuleType) -> None:
    """Let parts of data sets be copied without what was copied before.

    ``BaseDataset.get_subset``, which ``KFoldDataset`` calls, remembers all
    copies in one default argument, by the address of what was copied. An
    object at the address of one that is gone is then replaced by the copy of
    that: a transform of the pipeline by a data set, for example. (No issue of
    it is known.)

    Args:
        base_dataset (ModuleType): ``mmengine.dataset.base_dataset``.
    """
    original = base_dataset.BaseDataset._copy_without_annotation

    @functools.wraps(original)
    def copy_without_annotation(self: Any, memo: Optional[dict] = None) -> Any:
        return original(self, {} if memo is None else memo)

    base_dataset.BaseDataset._copy_without_annotation = copy_without_annotation
