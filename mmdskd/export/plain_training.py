"""Hooks, loops and optimizer of a plain network, in place of MMRazor's."""

import inspect
from typing import Any, Optional

from mmengine.registry import (
    HOOKS,
    LOOPS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    Registry,
)
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    TestLoop,
    ValLoop,
)

from mmdskd.utils.config import find_class

from .student_weights import plain_name

# Their hooks and loops work on an algorithm, not on a plain network.
DISTILLATION_PACKAGES = ('mmdskd', 'mmrazor')
# MMEngine's Runner takes the first three together or none of them.
TRAINING_KEYS = (
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
)


def drop_distillation(student: dict, scope: str) -> None:
    """Take out of a config, in place, what works on an algorithm only.

    Hooks of mmdskd and MMRazor go, and MMEngine's loops take the place of
    theirs. A separate optimizer of the student is the only one, and the names
    of its parameters are those of the plain network. Where the loop of
    MMRazor trains for no number of epochs or iterations, what concerns the
    training goes.

    Args:
        student (dict): Config of a run.
        scope (str): Its scope.
    """
    hooks = student.get('custom_hooks')
    if 'custom_hooks' in student:
        student['custom_hooks'] = [
            hook
            for hook in hooks or []
            if not _serves_distillation(HOOKS, hook, scope)
        ]
    if 'default_hooks' in student:
        student['default_hooks'] = {
            name: hook
            for name, hook in (student['default_hooks'] or {}).items()
            if not _serves_distillation(HOOKS, hook, scope)
        }
    for key in ('train_cfg', 'val_cfg', 'test_cfg'):
        if _serves_distillation(LOOPS, student.get(key), scope):
            student[key] = _make_plain_loop(key, student[key], scope)
            if key == 'train_cfg' and not _has_length(student[key]):
                # Such as a search among subnets: no training to repeat.
                for name in TRAINING_KEYS:
                    student.pop(name, None)
    optim_wrapper = student.get('optim_wrapper') or {}
    constructor = dict(type=optim_wrapper.get('constructor'))
    if 'architecture' in optim_wrapper and _serves_distillation(
        OPTIM_WRAPPER_CONSTRUCTORS, constructor, scope
    ):
        optim_wrapper = student['optim_wrapper'] = dict(
            optim_wrapper['architecture']
        )
        schedulers = student.get('param_scheduler')
        if isinstance(schedulers, dict) and 'architecture' in schedulers:
            student['param_scheduler'] = schedulers['architecture']
    paramwise_cfg = optim_wrapper.get('paramwise_cfg')
    if paramwise_cfg and 'custom_keys' in paramwise_cfg:
        paramwise_cfg['custom_keys'] = {
            plain_name(name) or name: value
            for name, value in paramwise_cfg['custom_keys'].items()
        }


def _serves_distillation(registry: Registry, config: Any, scope: str) -> bool:
    """Whether a component is mmdskd's or MMRazor's."""
    if not (isinstance(config, dict) and config.get('type')):
        return False
    package, dot, _ = str(config['type']).partition('.')
    if not dot or not isinstance(config['type'], str):
        found = find_class(registry, config, scope)
        # What isn't registered yet is in the scope's own package.
        package = found.__module__.partition('.')[0] if found else scope
    return package in DISTILLATION_PACKAGES


def _make_plain_loop(key: str, config: dict, scope: str) -> dict:
    """Make the config of MMEngine's loop from that of MMRazor's.

    Args:
        key (str): "train_cfg", "val_cfg" or "test_cfg".
        config (dict): Its value.
        scope (str): Scope of the run.

    Returns:
        dict: The arguments that the plain loop takes, too. Loops that
        evaluate the teacher or subnets as well become MMEngine's default
        ones, a training by epochs or iterations remains one.
    """
    if key != 'train_cfg':
        return _common(config, ValLoop if key == 'val_cfg' else TestLoop)
    # What is not given, such as the length of a search, is the loop's default.
    defaults = _parameters(find_class(LOOPS, config, scope))
    for name in ('max_epochs', 'max_iters'):
        default = defaults.get(name, inspect.Parameter.empty)
        if default is not inspect.Parameter.empty:
            config = {name: default, **config}
    by_iterations = config.get('max_iters') is not None
    loop = IterBasedTrainLoop if by_iterations else EpochBasedTrainLoop
    return dict(type=loop.__name__, **_common(config, loop))


def _has_length(train_cfg: dict) -> bool:
    """Whether a plain loop knows when its training ends."""
    return any(
        train_cfg.get(name) is not None for name in ('max_epochs', 'max_iters')
    )


def _common(config: dict, loop: type) -> dict:
    """Leave out what a loop does not take."""
    known = _parameters(loop)
    return {key: value for key, value in config.items() if key in known}


def _parameters(loop: Optional[Any]) -> dict[str, Any]:
    """Parameters of a loop that a config gives, with their defaults."""
    parameters = inspect.signature(loop).parameters if loop else {}
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in ('runner', 'dataloader', 'evaluator')
    }
