"""Weights by the speed at which the losses fall."""

from typing import Any, ClassVar

from torch import Tensor

from mmdskd.registry import TASK_UTILS
from mmdskd.utils.rules import POSITIVE

from .base_strategy import BaseLossWeightStrategy, check_temperature


@TASK_UTILS.register_module(name='dwa')
class DWAStrategy(BaseLossWeightStrategy):
    """Dynamic weight average: a branch whose loss falls slowly gets more.

    .. math::
        w = L \\cdot softmax(\\frac{l_t}{l_{t-1}} / T)

    from Liu, Johns and Davison, `End-to-End Multi-Task Learning with
    Attention <https://arxiv.org/abs/1803.10704>`_, CVPR 2019. There, a step t
    is an epoch and :math:`l_t` the average loss over it, which is
    ``by_epoch=True, interval=1, ema_decay=0`` of
    :class:`~mmdskd.engine.LossWeightSchedulerHook`.

    Args:
        temperature (float): T, > 0. Defaults to 2.0, as in the paper.

    Raises:
        ValueError: If ``temperature`` is not positive.
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(temperature=POSITIVE)

    def __init__(self, temperature: float = 2.0) -> None:
        self.temperature = check_temperature(temperature)

    def allocate(self, losses: Tensor, previous: Tensor) -> Tensor:
        """See :class:`BaseLossWeightStrategy`."""
        ratio = losses / previous.clamp(min=self.eps)
        return (ratio / self.temperature).softmax(dim=0)
