"""What exits ask of a batch: who leaves, and what remains."""

from collections.abc import Sequence
from typing import Any, Union

from mmengine.utils import apply_to
from torch import Tensor

from mmdskd.utils.rules import SHARE


def check_thresholds(
    threshold: Union[float, Sequence[float]], num_exits: int
) -> list[float]:
    """Check thresholds, and give one for each exit.

    Args:
        threshold (float or Sequence[float]): One for all, or one per exit.
        num_exits (int): Number of exits, without the student's own head.

    Returns:
        list[float]: One per exit.

    Raises:
        ValueError: If they are not one per exit, or not in [0, 1].
    """
    thresholds: list = (
        list(threshold)
        if isinstance(threshold, (list, tuple))
        else [threshold] * num_exits
    )
    if len(thresholds) != num_exits or any(map(SHARE.error, thresholds)):
        raise ValueError(
            'threshold should be a number in [0, 1], or '
            f'{num_exits} of them, one per exit, but got '
            f'{threshold!r}'
        )
    return thresholds


def select(output: Any, rows: list[int]) -> Any:
    """Take some samples out of what a module has returned.

    Args:
        output (Tensor or tuple): A batch, (N, ...), or a tuple with it, such
            as ``(tokens, (H, W))``.
        rows (list[int]): Indices of the samples.

    Returns:
        Tensor or tuple: The same of these samples.
    """
    return apply_to(
        output, lambda item: isinstance(item, Tensor), lambda item: item[rows]
    )
