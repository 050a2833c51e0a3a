import sys
from functools import wraps
from types import ModuleType
from typing import Any, NoReturn

import torch
from mmengine.utils import digit_version

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
