"""The settings of a config that a result depends on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

# What a result depends on...
RECIPE = (
    'model.',
    'data_preprocessor.',
    'train_dataloader.',
    'val_dataloader.dataset.',
    'val_evaluator.',
    'val_cfg.',
    'optim_wrapper.',
    'param_scheduler.',
    'train_cfg.',
    'auto_scale_lr.',
    'custom_hooks.',
    'load_from',
    'launcher',
)
# ... but for where files are, how fast they are read, and how names of types
# are looked up.
INCIDENTAL = (
    '_scope_',
    'checkpoint',
    'data_root',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
)
# The file of random weights from which all students of a seed start, in
# `tools/demo.py`: an initialisation like any other.
INITIAL_WEIGHTS = 'student_init.pth'


def read_recipe(cfg: Config, name: str) -> dict[str, Any]:
    """Take the settings out of a config that a result depends on.

    Args:
        cfg (Config): The config.
        name (str): Its name. The batch size of one for a single device, as
            "1xb64" in it says, depends on the launcher.

    Returns:
        dict: The settings by dotted key, such as "optim_wrapper.type".
    """
    content = {'launcher': 'none', 'load_from': None, **cfg.to_dict()}
    if '_1xb' not in name:
        content['launcher'] = 'none'  # as many devices as it says
    if content.get('resume'):
        content['load_from'] = None  # its own checkpoint
    settings = dict(flatten(content))
    fresh = [
        key.rpartition('.')[0] + '.'
        for key, value in settings.items()
        if key.endswith('init_cfg.checkpoint')
        and Path(str(value)).name == INITIAL_WEIGHTS
    ]
    recipe = {}
    for key, value in settings.items():
        last = key.rpartition('.')[2]
        if last == 'type':
            # A pure-Python config names the module, another one the scope.
            value = str(value).rpartition('.')[2]
        if last == 'teacher_ckpt':
            value = value and 'given'  # without it, noise is distilled
        if key.startswith(tuple(fresh)):
            continue
        if key.startswith(RECIPE) and last not in INCIDENTAL:
            recipe[key] = value
    return recipe


def flatten(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """List all values in nested dicts and sequences.

    Args:
        node: A dict, a list or tuple, or a value.
        prefix (str): What the keys start with. Defaults to nothing.

    Yields:
        tuple: Dotted key and value.
    """
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        yield prefix, node
        return
    for key, value in node.items():
        yield from flatten(value, f'{prefix}.{key}' if prefix else str(key))
