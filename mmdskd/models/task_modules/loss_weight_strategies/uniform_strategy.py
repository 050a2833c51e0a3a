"""Equal weights."""

import torch
from torch import Tensor

from mmdskd.registry import TASK_UTILS

from .base_strategy import BaseLossWeightStrategy


@TASK_UTILS.register_module(name='uniform')
class UniformStrategy(BaseLossWeightStrategy):
    """All branches alike: the plain sum of the branches' losses."""

    def allocate(self, losses: Tensor, previous: Tensor) -> Tensor:
        """See :class:`BaseLossWeightStrategy`."""
        return torch.ones_like(losses)
