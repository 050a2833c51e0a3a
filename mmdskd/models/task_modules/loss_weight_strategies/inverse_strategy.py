"""Weights by the inverse of the losses."""

from torch import Tensor

from mmdskd.registry import TASK_UTILS

from .base_strategy import BaseLossWeightStrategy


@TASK_UTILS.register_module(name='inverse')
class InverseStrategy(BaseLossWeightStrategy):
    """Larger loss, smaller weight: after weighting, all branches contribute
    alike. Losses below ``eps`` count as ``eps``."""

    def allocate(self, losses: Tensor, previous: Tensor) -> Tensor:
        """See :class:`BaseLossWeightStrategy`."""
        return 1 / losses.clamp(min=self.eps)
