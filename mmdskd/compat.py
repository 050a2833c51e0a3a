"""What it takes to run MMRazor 1.0.0 on torch 1.13 to 2.14.

MMRazor and MMEngine are no longer developed, PyTorch, numpy and setuptools
are. Each function here works around one thing that broke in between, names
the upstream issue, does nothing where it is not needed, and may run twice.
``import mmdskd`` runs them all, and must come before
``import mmrazor.models``.
"""

import importlib.util
import os.path as osp
import sys
import warnings
from functools import wraps
from importlib import metadata
from types import ModuleType
from typing import Any, NoReturn

import torch
from mmengine.utils import digit_version

from .utils.checkpoint import (
    MMENGINE_GLOBALS,
    MapLocation,
    load_checkpoint_file,
)

MIN_TORCH = '1.13'
MAX_TORCH = '2.14'
# What MMRazor's `structures.quantization` exports.
QUANTIZATION_NAMES = (
    'BackendConfigs',
    'QConfigHandler',
    'QSchemeHandler',
    'get_academic_backend_config',
    'get_academic_backend_config_dict',
    'get_native_backend_config',
    'get_native_backend_config_dict',
    'get_openvino_backend_config',
    'get_openvino_backend_config_dict',
    'get_tensorrt_backend_config',
    'get_tensorrt_backend_config_dict',
)


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


def is_installed(package: str) -> bool:
    """Whether a package is installed or importable.

    Args:
        package (str): Name of the package, or of its module.

    Returns:
        bool: Whether it is there.
    """
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


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
    if importlib.util.find_spec(module) is None and is_installed(package):
        # The module is named otherwise, such as mmseg of mmsegmentation.
        top_level = metadata.distribution(package).read_text('top_level.txt')
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


def find_packages_without_pkg_resources() -> None:
    """Let MMEngine find packages by ``importlib``.

    MMEngine reads ``package::path`` configs by ``pkg_resources``, which
    setuptools >= 82 no longer ships (mmcv#3325 is the same break), and
    which does not find the folder of a package that ``pip install -e``
    linked.
    """
    from mmengine import utils
    from mmengine.config import config
    from mmengine.hub import hub
    from mmengine.utils import package_utils

    for module in (package_utils, utils, config):
        module.is_installed = is_installed
    for module in (package_utils, utils, config, hub):
        module.get_installed_path = get_installed_path


def add_mmdskd_config_paths() -> None:
    """Let ``mmdskd::...`` name a config of this package.

    MMEngine takes only the packages of a fixed table.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['mmdskd'] = 'mmdskd'


def allow_mmengine_checkpoints() -> None:
    """Let ``weights_only=True`` read what MMEngine saves for a resume.

    It is the default of ``torch.load`` from torch 2.6 on, and refuses
    MMEngine's ``HistoryBuffer`` (mmengine#1650, #1655). Exactly the names of
    ``MMENGINE_GLOBALS`` are allowed; the ``getattr`` among them is a
    stand-in. torch < 2.4 has no such list.
    """
    if hasattr(torch.serialization, 'add_safe_globals'):
        torch.serialization.add_safe_globals(list(MMENGINE_GLOBALS.values()))


def load_from_local(filename: str, map_location: MapLocation = None) -> dict:
    """Load a checkpoint from a local path, for MMEngine.

    Args:
        filename (str): Path of the checkpoint.
        map_location: Where to put the tensors, as in :func:`torch.load`.

    Returns:
        dict: The checkpoint.
    """
    return load_checkpoint_file(filename, map_location)


def load_local_checkpoints_safely() -> None:
    """Make MMEngine read local checkpoints by ``load_checkpoint_file``.

    MMEngine calls ``torch.load`` as it is, which runs any code in the file on
    torch < 2.6. So a teacher, a resume and ``load_from`` are read safely on
    every torch, with the same errors; below torch 2.6 this refuses files
    with other classes that would have loaded before. Checkpoints from a URL
    are still loaded as MMEngine does.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    CheckpointLoader.register_scheme('', load_from_local, force=True)


def _refuse_quantization(*args, **kwargs) -> NoReturn:
    raise RuntimeError(
        'The quantization of MMRazor 1.0.0 needs torch 1.13, but got torch '
        f'{torch.__version__}. Distillation, pruning and NAS work; to '
        'quantize, use an environment with `pip install "torch<2"`.'
    )


class _Unavailable:
    """Stand in for a name of MMRazor's quantization; any use is refused."""

    __call__ = __getitem__ = __contains__ = __iter__ = _refuse_quantization

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        _refuse_quantization()


def replace_quantization() -> None:
    """Keep MMRazor importable on torch >= 2.

    ``mmrazor.structures.quantization`` reaches for torch names that are gone,
    and takes all of MMRazor down with it (mmrazor#632; #615 is its misleading
    message, #553 what follows where the import is mended). Nothing but
    quantization needs it: a stand-in takes its place, and building a
    quantizer or a quantization algorithm says so.
    """
    if digit_version(torch.__version__) < digit_version('2.0'):
        return
    stand_in = ModuleType('mmrazor.structures.quantization')
    stand_in.__all__ = QUANTIZATION_NAMES
    for name in QUANTIZATION_NAMES:
        setattr(stand_in, name, _Unavailable())
    sys.modules.setdefault(stand_in.__name__, stand_in)

    from mmrazor.models import quantizers
    from mmrazor.models.algorithms import MMArchitectureQuant

    MMArchitectureQuant.__init__ = _refuse_quantization
    for name in quantizers.__all__:
        getattr(quantizers, name).__init__ = _refuse_quantization


def set_module_inplace_false(
    self, architecture: torch.nn.Module, varstr: str
) -> None:
    """Set ``inplace`` of every module that has it to False.

    Args:
        architecture (nn.Module): The model.
        varstr (str): Not used; MMRazor passes the name of the model.
    """
    for module in architecture.modules():
        if hasattr(module, 'inplace'):
            module.inplace = False


def disable_inplace_modules() -> None:
    """Mend the guard that keeps recorded features from being overwritten.

    MMRazor's walks ``_modules`` only where it is an ``OrderedDict``, but it
    is a plain dict on recent torch, so nothing is switched off. On every
    torch it stops at a module that has ``inplace`` itself, such as
    ``ConvModule``, whose activation stays in-place.
    """
    from mmrazor.models.algorithms.base import BaseAlgorithm

    BaseAlgorithm.set_module_inplace_false = set_module_inplace_false


def _is_placeholder(value: Any) -> bool:
    """Whether MMRazor has put it where an import has failed."""
    return getattr(value, '__name__', '') == 'PlaceHolder'


def replace_mmcls() -> None:
    """Let what distillation needs of ``mmcls`` come from MMPretrain.

    MMRazor imports from MMPretrain's old name, and where that fails puts
    placeholders that raise when they are used (mmrazor#549): neither
    ``KDSoftCELoss`` nor ``PackCRDClsInputs``, which CRD needs, can be built.
    """
    from mmrazor.datasets.transforms import formatting
    from mmrazor.models.losses import kd_soft_ce_loss

    # All of MMPretrain is imported only if it is needed.
    if _is_placeholder(kd_soft_ce_loss.soft_cross_entropy):
        from mmpretrain.models.losses.cross_entropy_loss import (
            soft_cross_entropy,
        )

        kd_soft_ce_loss.soft_cross_entropy = soft_cross_entropy
    if _is_placeholder(formatting.PackClsInputs):
        from mmpretrain.datasets.transforms import PackInputs
        from mmpretrain.datasets.transforms.formatting import to_tensor
        from mmpretrain.structures import DataSample

        formatting.PackClsInputs = PackInputs
        formatting.PackCRDClsInputs.__bases__ = (PackInputs,)
        formatting.to_tensor = to_tensor
        formatting.ClsDataSample = DataSample


def allow_classes_of_any_size() -> None:
    """Let MMRazor's ``CRDDataset`` take classes of different sizes.

    It ends by making one array of the lists of all classes, which numpy >=
    1.24 refuses if they are not of one length. The lists, which it has made
    by then, serve as well.
    """
    from mmrazor.datasets import CRDDataset

    parse = CRDDataset._parse_fullset_contrast_info
    if parse.__module__ == __name__:
        return

    @wraps(parse, assigned=('__doc__',))
    def parse_any_size(self) -> None:
        try:
            parse(self)
        except ValueError as error:
            if 'inhomogeneous' not in str(error):
                raise

    CRDDataset._parse_fullset_contrast_info = parse_any_size


def group_fisher_config_template(
    self, with_init_args: bool = False, with_channels: bool = False
) -> dict:
    """Describe a unit by what builds it anew.

    Args:
        with_init_args (bool): Whether to give its arguments.
            Defaults to False.
        with_channels (bool): Whether to give its layers. Defaults to False.

    Returns:
        dict: ``choice``, the width, and what was asked for.
    """
    from mmrazor.models.mutables import L1MutableChannelUnit

    config = L1MutableChannelUnit.config_template(
        self, with_init_args, with_channels
    )
    if with_init_args:
        config['init_args'] = dict(
            num_channels=self.num_channels,
            normalization_type=self.delta_type,
            mutate_linear=self.mutate_linear,
        )
    return config


def name_arguments_of_group_fisher_units() -> None:
    """Let ``sub_model`` build what Group Fisher has pruned.

    The units inherit the description of L1 units, whose arguments they don't
    take by name. So what MMRazor exports as ``fix_subnet.json`` can't be
    loaded. (No issue of it is known.)
    """
    from mmrazor.implementations.pruning.group_fisher import (
        GroupFisherChannelUnit,
    )

    GroupFisherChannelUnit.config_template = group_fisher_config_template
