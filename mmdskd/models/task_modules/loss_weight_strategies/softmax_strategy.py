"""Weights by a softmax over the losses."""

from typing import Any, ClassVar

from torch import Tensor

from mmdskd.registry import TASK_UTILS
from mmdskd.utils.rules import FLAG, POSITIVE
from mmdskd.utils.values import check_value

from .base_strategy import BaseLossWeightStrategy, check_temperature


@TASK_UTILS.register_module(name='softmax')
class SoftmaxStrategy(BaseLossWeightStrategy):
    """Larger loss, larger weight: a softmax over the losses.

    .. math::
        w = L \\cdot softmax(\\frac{l}{\\bar{l} \\cdot T})

    This is how we read the loss-based weight allocation of `Knowledge
    Distillation with Deep Supervision <https://arxiv.org/abs/2202.07846>`_,
    whose abstract says that it balances the layers but gives no formula. A
    plain softmax is bound to the scale of the loss: feature losses of 0.05
    would leave all weights within 2 % of 1. So the losses are divided by
    their mean first, which also makes the weights independent of ``tau`` and
    of the reduction of the loss.

    Args:
        temperature (float): T, > 0. Smaller prefers the largest loss more.
            Defaults to 1.0.
        normalize (bool): Whether to divide the losses by their mean
            (absolute, should some be negative) first. Defaults to True.

    Raises:
        ValueError: If ``temperature`` is not positive.

    Examples:
        >>> import torch
        >>> from mmdskd.models import SoftmaxStrategy
        >>> losses = torch.tensor([1., 3.])
        >>> SoftmaxStrategy()(losses, previous=losses)
        tensor([0.5379, 1.4621])
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        temperature=POSITIVE, normalize=FLAG
    )

    def __init__(
        self, temperature: float = 1.0, normalize: bool = True
    ) -> None:
        self.temperature = check_temperature(temperature)
        check_value('normalize', normalize, FLAG)
        self.normalize = normalize

    def allocate(self, losses: Tensor, previous: Tensor) -> Tensor:
        """See :class:`BaseLossWeightStrategy`."""
        if self.normalize:
            losses = losses / losses.abs().mean().clamp(min=self.eps)
        return (losses / self.temperature).softmax(dim=0)
