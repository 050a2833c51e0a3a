"""What it takes to run MMRazor 1.0.0 on torch 1.13 to 2.15.

MMRazor and MMEngine are no longer developed, PyTorch, numpy and setuptools
are. Each patch works around one thing that broke in between, names the
upstream issue where one is known, does nothing where it is not needed, and
may run twice.
``import mmdskd`` applies each when its module is imported, or at once if
that is imported already. So the order of imports does not matter, except
that modules of MMRazor need mmdskd first: on torch >= 2 to be imported at
all, below it to find MMPretrain in place of ``mmcls``.
"""

import sys
import warnings
from functools import partial
from importlib.util import find_spec
from typing import NoReturn

from mmdskd.doctor import explain
from mmdskd.version import MAX_TORCH, MIN_TORCH, installed_version, release

from .init_weights import (
    keep_own_weights,
    refuse_useless_checkpoints,
    remember_networks,
)
from .mmcls import (
    OLD_TYPES,
    find_components_in_mmpretrain,
    read_configs_from_mmpretrain,
    register_old_types,
    rewrite_old_names,
)
from .mmcv import hide_missing_attention, is_newer_than_asserted
from .mmengine import (
    add_mmdskd_config_paths,
    allow_mmengine_checkpoints,
    copy_data_sets_afresh,
    find_modules_without_pkgutil,
    find_packages_without_pkg_resources,
    load_local_checkpoints_safely,
    refuse_missing_packages,
    refuse_unsafe_fallback,
)
from .mmengine_checkpoints import (
    save_checkpoints_safely,
    write_local_files_atomically,
)
from .mmpretrain import (
    build_preprocessor_in_any_scope,
    keep_loaded_weights,
    leave_out_multimodal,
)
from .mmrazor import (
    allow_classes_of_any_size,
    check_loss_mappings_at_build,
    disable_inplace_modules,
    name_arguments_of_group_fisher_units,
    raise_import_error,
    refuse_quantization_algorithm,
    refuse_quantizers,
    replace_quantization,
)
from .mmrazor_heads import read_labels_of_mmpretrain, read_tokens_of_mmpretrain
from .mmrazor_nas import (
    convert_plain_dicts,
    handle_missing_gradients,
    make_inputs_for_mmpretrain,
    replace_smooth_l1_loss,
)
from .mmrazor_pruning import keep_gradients_defined
from .mmrazor_visualization import save_without_help_of_visualizer
from .on_import import (
    import_without_assertions,
    rewrite_when_imported,
    when_import_fails,
    when_imported,
)
from .other_networks import explain_missing_networks
from .state_dict import keep_state_dicts_whole
from .vis_backends import keep_mlflow_in_a_database, leave_out_copies

# The module, and what is called with it once it is imported
PATCHES = (
    ('mmengine.utils.package_utils', find_packages_without_pkg_resources),
    ('mmengine.utils', find_packages_without_pkg_resources),
    ('mmengine.config.config', find_packages_without_pkg_resources),
    ('mmengine.hub.hub', find_packages_without_pkg_resources),
    ('mmengine.config.utils', add_mmdskd_config_paths),
    ('mmengine.config.config', refuse_missing_packages),
    ('mmengine.hub.hub', refuse_missing_packages),
    ('mmengine.config.config', read_configs_from_mmpretrain),
    ('mmengine.hub.hub', read_configs_from_mmpretrain),
    ('mmengine.registry.registry', find_components_in_mmpretrain),
    *((module, register_old_types) for module in OLD_TYPES),
    ('mmengine.dataset.base_dataset', copy_data_sets_afresh),
    ('mmengine.runner.checkpoint', allow_mmengine_checkpoints),
    ('mmengine.runner.checkpoint', load_local_checkpoints_safely),
    ('mmengine.runner.checkpoint', refuse_unsafe_fallback),
    ('mmengine.utils.dl_utils.misc', find_modules_without_pkgutil),
    ('mmcv.utils.ext_loader', find_modules_without_pkgutil),
    ('mmpretrain.models.classifiers.timm', keep_loaded_weights),
    ('mmpretrain.models.classifiers.hugging_face', keep_loaded_weights),
    ('mmpretrain.models.classifiers.image', build_preprocessor_in_any_scope),
    ('mmpretrain.models.classifiers.timm', explain_missing_networks),
    ('mmpretrain.models.classifiers.hugging_face', explain_missing_networks),
    ('mmpretrain.models.backbones.timm_backbone', explain_missing_networks),
    ('mmengine.fileio.backends.local_backend', write_local_files_atomically),
    ('mmengine.hooks.checkpoint_hook', save_checkpoints_safely),
    ('mmengine.model.weight_init', refuse_useless_checkpoints),
    ('mmengine.visualization.vis_backend', keep_mlflow_in_a_database),
    ('mmengine.visualization.vis_backend', leave_out_copies),
    ('mmpretrain.utils.dependency', leave_out_multimodal),
    ('mmrazor', replace_quantization),
    ('mmrazor.models.quantizers', refuse_quantizers),
    (
        'mmrazor.models.algorithms.quantization.mm_architecture',
        refuse_quantization_algorithm,
    ),
    ('mmrazor.models.algorithms.base', disable_inplace_modules),
    ('mmrazor.models.algorithms.base', keep_state_dicts_whole),
    (
        'mmrazor.models.distillers.configurable_distiller',
        check_loss_mappings_at_build,
    ),
    ('mmrazor.models.algorithms.base', remember_networks),
    ('mmrazor.models.algorithms.base', keep_own_weights),
    (
        'mmrazor.models.algorithms.distill.configurable'
        '.single_teacher_distill',
        remember_networks,
    ),
    ('mmrazor.datasets.crd_dataset_wrapper', allow_classes_of_any_size),
    (
        'mmrazor.models.architectures.heads.darts_subnet_head',
        read_labels_of_mmpretrain,
    ),
    (
        'mmrazor.models.architectures.heads.deit_head',
        read_tokens_of_mmpretrain,
    ),
    (
        'mmrazor.models.architectures.dynamic_ops.bricks.dynamic_container',
        convert_plain_dicts,
    ),
    ('mmrazor.models.algorithms.pruning.dmcp', keep_gradients_defined),
    ('mmrazor.models.algorithms.nas.dsnas', handle_missing_gradients),
    (
        'mmrazor.models.task_modules.predictor.handler.mlp_handler',
        replace_smooth_l1_loss,
    ),
    (
        'mmrazor.engine.hooks.visualization_hook',
        save_without_help_of_visualizer,
    ),
    (
        'mmrazor.models.task_modules.demo_inputs.default_demo_inputs',
        make_inputs_for_mmpretrain,
    ),
    (
        'mmrazor.implementations.pruning.group_fisher.unit',
        name_arguments_of_group_fisher_units,
    ),
)
# Packages that assert an MMCV of their time when they are imported
ASSERTING = ('mmpretrain', 'mmrazor')
# Packages that MMRazor uses where they can be imported
OPTIONAL = ('mmcls', 'mmdet', 'mmseg', 'mmpose')
# Modules at which a stack that does not fit together breaks
EXPLAINED = (
    'torchvision',
    'mmengine',
    'mmengine.runner',
    'mmcv',
    'mmpretrain',
    'mmpretrain.models',
    'mmrazor',
    'mmrazor.models',
)
# Modules that components of mmdskd cannot do without
NEEDED = (
    'torch',
    'torchvision',
    'numpy',
    'cv2',
    'mmengine',
    'mmcv',
    'mmpretrain',
    'mmrazor',
    'joblib',
)


def apply_patches() -> None:
    """Make the installed stack work; called by ``import mmdskd``."""
    hide_missing_attention()
    for package in OPTIONAL:
        when_import_fails(package, raise_import_error)
    for module in EXPLAINED:
        when_import_fails(module, partial(explain_failed_import, module))
    for package in ASSERTING:
        import_without_assertions(package, is_newer_than_asserted)
    rewrite_when_imported('mmrazor', rewrite_old_names)
    for module, patch in PATCHES:
        when_imported(module, patch)


def check_stack() -> None:
    """Refuse to start where a package is missing or torch is too old.

    Only the metadata of the packages is read.

    Raises:
        ModuleNotFoundError: A module of ``NEEDED`` is missing.
        ImportError: torch is older than ``MIN_TORCH``.
    """
    for name in NEEDED:
        if name in sys.modules:
            missing = sys.modules[name] is None
        else:
            spec = find_spec(name)
            # A folder of that name, such as a clone, is no package.
            missing = spec is None or spec.origin is None
        if missing:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    check_torch_version()


def check_torch_version() -> None:
    """Refuse a torch that is too old, and warn of one never tried.

    Raises:
        ImportError: torch is older than ``MIN_TORCH``.
    """
    version = installed_version('torch')
    if version is None:
        return  # installed without metadata
    if release(version) < release(MIN_TORCH):
        raise ImportError(f'torch should be >= {MIN_TORCH}, but got {version}')
    if release(version)[:2] > release(MAX_TORCH)[:2]:
        warnings.warn(
            f'mmdskd was tested on torch {MIN_TORCH} to {MAX_TORCH}, not on '
            f'{version}. If something breaks, try '
            f'`pip install "torch=={MAX_TORCH}.*" torchvision`.',
            stacklevel=4,  # whoever imports mmdskd
        )


class StackError(ImportError):
    """A package cannot be imported; the message says what mends it."""


def explain_failed_import(package: str, error: Exception) -> NoReturn:
    """Say which installed versions may be the reason, and what mends them.

    Args:
        package (str): Name of the package.
        error (Exception): What its import raised.

    Raises:
        StackError: Always. One that is explained already stays as it is.
    """
    if isinstance(error, StackError):
        raise error
    raise StackError(explain(error, package)) from error
