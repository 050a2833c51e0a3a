"""What MMRazor 1.0.0 needs.

A patch gets the module that has just been imported. Until one runs, neither
torch nor MMRazor is imported.
"""

import sys
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from torch import nn

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


def _refuse_quantization(*args: Any, **kwargs: Any) -> NoReturn:
    import torch

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


def _has_quantization() -> bool:
    """Whether MMRazor's quantization can be imported on this torch."""
    import torch
    from mmengine.utils import digit_version

    return digit_version(torch.__version__) < digit_version('2.0')


def replace_quantization(mmrazor: ModuleType) -> None:
    """Keep MMRazor importable on torch >= 2.

    ``mmrazor.structures.quantization`` reaches for torch names that are gone,
    and takes all of MMRazor down with it (mmrazor#632; #615 is its misleading
    message, #553 what follows where the import is mended). Nothing but
    quantization needs it: a stand-in takes its place. It does so too after an
    import that failed.

    Args:
        mmrazor (ModuleType): ``mmrazor``, before its subpackages.
    """
    if _has_quantization():
        return
    stand_in = ModuleType(f'{mmrazor.__name__}.structures.quantization')
    names = dict.fromkeys(QUANTIZATION_NAMES, _Unavailable())
    vars(stand_in).update(names, __all__=QUANTIZATION_NAMES)
    sys.modules.setdefault(stand_in.__name__, stand_in)


def refuse_quantizers(quantizers: ModuleType) -> None:
    """Let a quantizer say why it cannot be built.

    Args:
        quantizers (ModuleType): ``mmrazor.models.quantizers``.
    """
    if not _has_quantization():
        for name in quantizers.__all__:
            getattr(quantizers, name).__init__ = _refuse_quantization


def refuse_quantization_algorithm(mm_architecture: ModuleType) -> None:
    """Let the quantization algorithm say why it cannot be built.

    Args:
        mm_architecture (ModuleType): Module of ``MMArchitectureQuant``.
    """
    if not _has_quantization():
        mm_architecture.MMArchitectureQuant.__init__ = _refuse_quantization


def set_module_inplace_false(
    self: Any, architecture: 'nn.Module', varstr: str
) -> None:
    """Set ``inplace`` of every module that has it to False.

    Args:
        architecture (nn.Module): The model.
        varstr (str): Not used; MMRazor passes the name of the model.
    """
    for module in architecture.modules():
        if hasattr(module, 'inplace'):
            module.inplace = False  # type: ignore[assignment]


def disable_inplace_modules(base: ModuleType) -> None:
    """Mend the guard that keeps recorded features from being overwritten.

    MMRazor's walks ``_modules`` only where it is an ``OrderedDict``, but it
    is a plain dict on recent torch, so nothing is switched off. On every
    torch it stops at a module that has ``inplace`` itself, such as
    ``ConvModule``, whose activation stays in-place.

    Args:
        base (ModuleType): ``mmrazor.models.algorithms.base``.
    """
    base.BaseAlgorithm.set_module_inplace_false = set_module_inplace_false


def raise_import_error(error: Exception) -> None:
    """Let MMRazor do without an optional package that is broken.

    MMRazor tries to import packages such as MMClassification, and handles an
    ``ImportError``. But mmcls 0.x asserts that mmcv 1 is installed.

    Args:
        error (Exception): What ended the import of the package.

    Raises:
        ImportError: ``error`` is of another type.
    """
    if not isinstance(error, ImportError):
        raise ImportError(f'{type(error).__name__}: {error}') from error


def allow_classes_of_any_size(crd_dataset_wrapper: ModuleType) -> None:
    """Let MMRazor's ``CRDDataset`` take classes of different sizes.

    It ends by making one array of the lists of all classes, which numpy >=
    1.24 refuses if they are not of one length. The lists, which it has made
    by then, serve as well.

    Args:
        crd_dataset_wrapper (ModuleType): The module of ``CRDDataset``.
    """
    dataset_class = crd_dataset_wrapper.CRDDataset
    parse = dataset_class._parse_fullset_contrast_info
    if parse.__module__ == __name__:
        return

    @wraps(parse, assigned=('__doc__',))
    def parse_any_size(self: Any) -> None:
        try:
            parse(self)
        except ValueError as error:
            if 'inhomogeneous' not in str(error):
                raise

    dataset_class._parse_fullset_contrast_info = parse_any_size


def group_fisher_config_template(
    self: Any, with_init_args: bool = False, with_channels: bool = False
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


def name_arguments_of_group_fisher_units(unit: ModuleType) -> None:
    """Let ``sub_model`` build what Group Fisher has pruned.

    The units inherit the description of L1 units, whose arguments they don't
    take by name. So what MMRazor exports as ``fix_subnet.json`` can't be
    loaded. (No issue of it is known.)

    Args:
        unit (ModuleType): The module of ``GroupFisherChannelUnit``.
    """
    unit.GroupFisherChannelUnit.config_template = group_fisher_config_template


def check_loss_mappings_at_build(configurable_distiller: ModuleType) -> None:
    """Let a distiller say by its key what is wrong in its mappings, and
    which source of a recorder is no module.

    MMRazor skips what is given to an argument that has a default, so that a
    missing ``from_student`` of it fails in the first iteration, and its
    messages name neither the loss nor the valid choices. (No issue of it is
    known.) What it refuses is refused as before.

    Args:
        configurable_distiller (ModuleType): The module of
            ``ConfigurableDistiller``.
    """
    distiller_class = configurable_distiller.ConfigurableDistiller
    check = distiller_class._check_loss_forward_mappings
    if check.__module__ == __name__:
        return
    # Not before: it would import torch.
    from mmdskd.utils.loss_mappings import (
        check_loss_mappings,
        get_mapped_parts,
    )
    from mmdskd.utils.recorder_sources import check_sources

    @wraps(check, assigned=('__doc__',))
    def check_by_key(
        self: Any, losses: Any, loss_forward_mappings: Any, *args: Any
    ) -> None:
        check_loss_mappings(
            loss_forward_mappings,
            get_mapped_parts(self),
            'model.distiller.loss_forward_mappings',
        )
        check(self, losses, loss_forward_mappings, *args)

    distiller_class._check_loss_forward_mappings = check_by_key

    def check_before(prepare: Any, part: str) -> Any:
        @wraps(prepare, assigned=('__doc__',))
        def check_and_prepare(self: Any, model: 'nn.Module') -> None:
            recorders = getattr(self, f'{part}_recorders').recorders
            check_sources(
                recorders, model, f'model.distiller.{part}_recorders'
            )
            prepare(self, model)

        return check_and_prepare

    for part in ('student', 'teacher'):
        name = f'prepare_from_{part}'
        prepare = getattr(distiller_class, name)
        setattr(distiller_class, name, check_before(prepare, part))
