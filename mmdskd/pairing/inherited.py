"""What a DSKD config takes over from the configs of student and teacher."""

import os.path as osp
from typing import Any

from mmdskd.utils.config import add_import

from .algorithm_config import HOOKS
from .source_config import SourceConfig

# What MMEngine's Runner and tools/test.py read of a config, but for the model,
# and for what is kept of the student whoever gives the data.
RUN_KEYS = (
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'val_evaluator',
    'test_evaluator',
    'default_hooks',
    'custom_hooks',
    'env_cfg',
    'log_processor',
    'log_level',
    'visualizer',
    'randomness',
    'model_wrapper_cfg',
    'find_unused_parameters',
    'sync_bn',
    'compile',
    'tta_model',
    'tta_pipeline',
)


def override_base(
    student: SourceConfig,
    teacher: SourceConfig,
    data: SourceConfig,
    output: str,
) -> dict[str, Any]:
    """Set what the config must not take from its ``_base_`` as it is.

    Args:
        student (SourceConfig): The student.
        teacher (SourceConfig): The teacher.
        data (SourceConfig): That of the two which is the ``_base_``.
        output (str): File that is written.

    Returns:
        dict: Variables of the config by their names.
    """
    other = teacher if data is student else student
    imports: list[str] = []
    allow_failed = False
    # Of the data first, as in its own training.
    for source in (data, other):
        custom = source.cfg.get('custom_imports') or {}
        allow_failed |= bool(custom.get('allow_failed_imports'))
        theirs = custom.get('imports') or []
        theirs = [theirs] if isinstance(theirs, str) else theirs
        imports += [name for name in theirs if name not in imports]
    variables: dict[str, Any] = dict(
        custom_imports=dict(
            add_import(dict(imports=imports)),
            allow_failed_imports=allow_failed,
        )
    )
    base = data.cfg
    if base.get('work_dir'):
        name = osp.splitext(osp.basename(output))[0]
        variables['work_dir'] = osp.join('work_dirs', name)
    if base.get('resume'):
        variables['resume'] = False
    load_from = student.cfg.get('load_from')
    if base.get('load_from') != load_from:
        variables['load_from'] = load_from
    variables['custom_hooks'] = [
        *(hook.to_dict() for hook in base.get('custom_hooks') or []),
        *HOOKS,
    ]
    return variables


def list_unused(source: SourceConfig, data: SourceConfig) -> list[str]:
    """List what a network's config says that the data's does not say.

    Args:
        source (SourceConfig): The network.
        data (SourceConfig): The one whose data, schedule and hooks are used.

    Returns:
        list[str]: Keys at the top of its config.
    """
    return [
        key
        for key in RUN_KEYS
        if source.cfg.get(key) not in (None, data.cfg.get(key))
    ]
