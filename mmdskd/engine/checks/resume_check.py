"""Check that a run can go on from a checkpoint."""

import os.path as osp
from typing import Any, Optional

from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from ..latest_checkpoint import EXACT_KEY

# Settings that tell optimizers apart, in all versions of torch
TELLING = {
    'alpha',
    'amsgrad',
    'betas',
    'dampening',
    'etas',
    'lambd',
    'lr_decay',
    'momentum',
    'nesterov',
    'rho',
}


def check_resumable(
    checkpoint: dict, runner: Runner, path: str, newest: Optional[str]
) -> None:
    """Check that a checkpoint holds all that a resume needs.

    Args:
        checkpoint (dict): The checkpoint.
        runner (Runner): The runner of the training process.
        path (str): Where the checkpoint is.
        newest (str, optional): A checkpoint that can be resumed from, to
            advise.

    Raises:
        ValueError: If something is missing, or is that of another optimizer.
    """
    advice = (
        f'Resume from {newest}' if newest else 'Resume from another checkpoint'
    ) + f', or start anew from its weights: load_from={path!r}.'
    meta = checkpoint.get('meta')
    missing = [
        key
        for key in ('meta', 'state_dict', 'message_hub')
        if not isinstance(checkpoint.get(key), dict)
    ]
    if not missing and not {'epoch', 'iter'} <= meta.keys():  # type: ignore[union-attr]
        missing = ['meta.epoch', 'meta.iter']
    if missing:
        raise ValueError(
            f'--resume should get a checkpoint that a training has saved, but '
            f'{path} has no {", ".join(missing)}: it holds '
            f'{", ".join(map(str, list(checkpoint)[:4]))}. {advice}'
        )
    missing = [
        key
        for key, part in (
            ('optimizer', True),
            ('param_schedulers', runner.param_schedulers),
        )
        if part and key not in checkpoint
    ]
    if missing:
        reason = (
            ', as MMEngine saves the best checkpoint'
            if osp.basename(path).startswith('best_')
            else ''
        )
        raise ValueError(
            f'{path} was saved without {" and ".join(missing)}{reason}. A '
            'training that goes on from it would lose momentum and schedule. '
            f'{advice}'
        )
    differences = _compare(checkpoint, runner)
    if differences:
        raise ValueError(
            f'{path} does not fit the optimizer of the config: '
            f'{"; ".join(differences)}. Resume with the config of that run, '
            f'or start anew from its weights: load_from={path!r}.'
        )


def _compare(checkpoint: dict, runner: Runner) -> list[str]:
    """Say how optimizers and schedulers differ."""
    wrapper = runner.optim_wrapper
    saved = checkpoint['optimizer']
    kinds = (checkpoint.get(EXACT_KEY) or {}).get('optimizers', {})
    if isinstance(wrapper, OptimWrapperDict):
        own = dict(wrapper.items())
        if own.keys() != saved.keys():
            return [
                f'the optimizers were {sorted(map(str, saved))}, are '
                f'{sorted(own)}'
            ]
        differences = [
            f'{name}: {difference}'
            for name, one in own.items()
            for difference in _compare_one(
                saved[name], one.optimizer, kinds.get(name)
            )
        ]
    else:
        differences = _compare_one(saved, wrapper.optimizer, kinds.get(''))
    schedulers = checkpoint.get('param_schedulers')
    own_schedulers = runner.param_schedulers
    if (
        isinstance(schedulers, list)
        and isinstance(own_schedulers, list)
        and len(schedulers) != len(own_schedulers)
    ):
        differences.append(
            f'it has {len(schedulers)} schedulers, the config '
            f'{len(own_schedulers)}'
        )
    return differences


def _compare_one(saved: dict, optimizer: Any, kind: Optional[str]) -> list:
    """Say how an optimizer differs from the state of another one."""
    own_kind = type(optimizer).__name__
    if kind is not None and kind != own_kind:
        return [f'it was {kind}, is {own_kind}']
    groups = saved.get('param_groups')
    if groups is None:
        return ['it has no param_groups']
    own = optimizer.state_dict()['param_groups']
    if len(groups) != len(own):
        return [
            f'it has {len(groups)} groups of parameters, the config {len(own)}'
        ]
    numbers = [
        [len(group['params']) for group in part] for part in (groups, own)
    ]
    if numbers[0] != numbers[1]:
        return [
            f'it is of {sum(numbers[0])} parameters, the model has '
            f'{sum(numbers[1])}'
        ]
    theirs = set().union(*groups) & TELLING
    ours = set().union(*own) & TELLING
    if theirs != ours:
        return [
            f'it has {sorted(theirs - ours) or "nothing"} that {own_kind} '
            f'does not have, and lacks {sorted(ours - theirs) or "nothing"}'
        ]
    return []


def describe_optimizers(runner: Runner) -> dict[str, str]:
    """Name the classes of the optimizers.

    Args:
        runner (Runner): The runner of the training process.

    Returns:
        dict[str, str]: Classes by name of the optimizer, which is '' if there
        is only one.
    """
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        return {
            name: type(one.optimizer).__name__ for name, one in wrapper.items()
        }
    return {'': type(wrapper.optimizer).__name__}
