"""Check that what begins in a run begins before it is over."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from mmdskd.utils.config import is_named, type_name
from mmdskd.utils.rules import INDEX

_HOOK = 'mmdskd.LossWeightSchedulerHook'


def check_lengths(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Check the begin of schedules against the length of the training.

    One of ours that never acts is a mistake. One of MMEngine's may be meant,
    in a short trial of a longer recipe, so it is a warning.

    Args:
        cfg (Config): Config of a run.

    Yields:
        str: A message for each mistake.
    """
    section = cfg.get('train_cfg')
    if not isinstance(section, dict):
        return
    epochs = _whole(section.get('max_epochs'))
    iters = _whole(section.get('max_iters'))
    hooks = cfg.get('custom_hooks')
    for index, hook in enumerate(hooks if isinstance(hooks, list) else []):
        path = f'custom_hooks[{index}]'
        if is_named(hook, _HOOK):
            yield from _check_hook(path, hook, epochs, iters)
        elif type_name(hook) == 'StopDistillHook':
            stop = _whole(hook.get('stop_epoch'))
            if stop is not None and epochs is not None and stop >= epochs:
                _warn(f'{path}.stop_epoch is {stop}', f'{epochs} epochs')
    defaults = cfg.get('default_hooks')
    checkpoint = (
        defaults.get('checkpoint') if isinstance(defaults, dict) else None
    )
    if isinstance(checkpoint, dict):
        by_epoch = checkpoint.get('by_epoch', True)
        length = epochs if by_epoch else iters
        begin = _whole(checkpoint.get('save_begin'))
        if length is not None and begin is not None and begin >= length:
            unit = 'epochs' if by_epoch else 'iterations'
            warnings.warn(
                f'default_hooks.checkpoint.save_begin is {begin}, but the run '
                f'has {length} {unit}: no checkpoint is saved before its end.',
                stacklevel=2,
            )
    for path, schedule in _list_schedules(cfg.get('param_scheduler')):
        if _find_begin_error(schedule):
            yield f'{path}.{_find_begin_error(schedule)}'
            continue
        length = epochs if schedule.get('by_epoch', True) else iters
        begin = _whole(schedule.get('begin'))
        if length is not None and begin is not None and begin >= length:
            unit = 'epochs' if schedule.get('by_epoch', True) else 'iterations'
            _warn(f'{path}.begin is {begin}', f'{length} {unit}')


def _whole(value: Any) -> Optional[int]:
    return value if INDEX.error(value) is None else None


def _warn(what: str, length: str) -> None:
    warnings.warn(
        f'{what}, but the run has {length}: it never acts. Set it for this '
        'run if that is not meant.',
        stacklevel=2,
    )


def _check_hook(
    path: str, hook: dict, epochs: Optional[int], iters: Optional[int]
) -> Iterator[str]:
    """Check that the branch weights are ever written."""
    by_epoch = hook.get('by_epoch', False)
    if by_epoch is True and epochs is None and iters is not None:
        yield (
            f'{path}.by_epoch should be False in training by iterations '
            f'(train_cfg.max_iters={iters}), but got True'
        )
        return
    length = epochs if by_epoch else iters
    unit = 'epochs' if by_epoch else 'iterations'
    begin = _whole(hook.get('begin', 0))
    if begin is None:
        return
    if length is None:
        return
    if begin >= length:
        yield (
            f'{path}.begin should be below the length of the run, {length} '
            f'{unit}, but got {begin}: the weights would never be written'
        )
        return
    interval = _whole(hook.get('interval', 1))
    if interval is not None and begin + interval > length:
        yield (
            f'{path}.interval should be at most the {length - begin} {unit} '
            f'of the run from begin={begin} on, but got {interval}: the '
            'weights would never be written'
        )
    warmup = _whole(hook.get('loss_warmup', hook.get('ramp')))
    if warmup is not None and warmup > length:
        warnings.warn(
            f'{path}.loss_warmup is {warmup}, but the run has {length} {unit}'
            ': the loss never reaches its whole weight.',
            stacklevel=2,
        )


def _find_begin_error(schedule: dict) -> str:
    """Tell how begin and end of a schedule of MMEngine disagree."""
    begin, end = schedule.get('begin', 0), _whole(schedule.get('end'))
    if _whole(begin) is None or end is None or end > begin:
        return ''
    return f'end should be > begin={begin}, but got {end}'


def _list_schedules(value: Any, path: str = 'param_scheduler') -> list:
    """List schedules with their paths."""
    if isinstance(value, (list, tuple)):
        return [
            found
            for index, item in enumerate(value)
            for found in _list_schedules(item, f'{path}[{index}]')
        ]
    if not isinstance(value, dict):
        return []
    if value.get('type') is not None:
        return [(path, value)]
    return [
        found
        for key, item in value.items()
        for found in _list_schedules(item, f'{path}.{key}')
    ]
