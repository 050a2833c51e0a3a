"""Arguments of the hook that writes the weights of the branches."""

import warnings
from collections.abc import Mapping
from typing import Any, Optional

from mmdskd.models.task_modules.loss_weight_strategies.build import STRATEGY
from mmdskd.utils.rules import COUNT, FLAG, INDEX, TEXT, Number, optional

#: What the arguments should be.
VALUES: dict[str, Any] = dict(
    loss=optional(TEXT),
    strategy=STRATEGY,
    ema_decay=Number(least=0, below=1),
    interval=COUNT,
    by_epoch=FLAG,
    begin=INDEX,
    end=optional(COUNT),
    weight_warmup=optional(INDEX),
    loss_warmup=optional(INDEX),
    warmup=optional(INDEX),
    ramp=optional(INDEX),
)


_TWICE = '{old} is the old name of {new}: give {new} alone, but got both'


def rename(
    old: str, value: Optional[int], new: str, current: Optional[int]
) -> int:
    """Find the value of an argument that may be given by its old name.

    Args:
        old (str): Its old name.
        value (int, optional): What is given by it.
        new (str): Its name.
        current (int, optional): What is given by it.

    Returns:
        int: The value, 0 if it is given by neither.

    Raises:
        ValueError: If it is given by both.
    """
    if value is None:
        return 0 if current is None else current
    if current is not None:
        raise ValueError(_TWICE.format(old=old, new=new))
    warnings.warn(
        f'{old} of LossWeightSchedulerHook is deprecated: write {new}',
        FutureWarning,
        stacklevel=3,
    )
    return value


def check_together(arguments: Mapping[str, Any]) -> None:
    """Check arguments that depend on one another.

    Args:
        arguments (dict): The arguments by name.

    Raises:
        ValueError: If ``end`` is not after ``begin``, or a number is given
            by its old and its new name.
    """
    begin, end = arguments.get('begin', 0), arguments.get('end')
    if end is not None and end <= begin:
        raise ValueError(f'end should be > begin={begin}, but got {end}')
    for old, new in (('warmup', 'weight_warmup'), ('ramp', 'loss_warmup')):
        if arguments.get(old) is not None and arguments.get(new) is not None:
            raise ValueError(_TWICE.format(old=old, new=new))


def check_acts(begin: int, interval: int, length: int) -> None:
    """Check that the weights are written before the training ends.

    Args:
        begin (int): When the allocation begins, in epochs or iterations.
        interval (int): How many of them are between two updates.
        length (int): How many of them the training has.

    Raises:
        ValueError: If they are not.
    """
    if begin + interval > length:
        raise ValueError(
            'LossWeightSchedulerHook should write the weights of the branches '
            f'before the training ends, after {length}, but begin={begin} '
            f'with interval={interval} comes later'
        )
