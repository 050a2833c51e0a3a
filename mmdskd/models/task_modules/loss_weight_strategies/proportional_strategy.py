"""Weights in proportion to the losses."""

from torch import Tensor

from mmdskd.registry import TASK_UTILS

from .base_strategy import BaseLossWeightStrategy


@TASK_UTILS.register_module(name='proportional')
class ProportionalStrategy(BaseLossWeightStrategy):
    """Larger loss, larger weight: the weight is the branch's share of the
    summed losses. Losses below 0 count as 0."""

    def allocate(self, losses: Tensor, previous: Tensor) -> Tensor:
        """See :class:`BaseLossWeightStrategy`."""
        return losses.clamp(min=0)
