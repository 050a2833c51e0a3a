"""The base class of the rules that weight the branches."""

from abc import ABCMeta, abstractmethod

import torch
from torch import Tensor

from mmdskd.utils.rules import POSITIVE
from mmdskd.utils.values import check_value


class BaseLossWeightStrategy(metaclass=ABCMeta):
    """A rule that turns the losses of the branches into their weights.

    A subclass says how weights relate to one another in :meth:`allocate`;
    calling the strategy scales them to an average of 1, so that ``uniform``
    is the plain sum of the branches and strategies compare. Strategies are
    pure functions of their arguments and stay on the device: what they need
    to remember, :class:`~mmdskd.models.BranchWeights` hands them.

    Registered in ``TASK_UTILS``, a strategy is chosen by its name:

    Examples:
        >>> import torch
        >>> from mmdskd.models import BaseLossWeightStrategy
        >>> from mmdskd.registry import TASK_UTILS
        >>> @TASK_UTILS.register_module(name='max')
        ... class MaxStrategy(BaseLossWeightStrategy):
        ...     def allocate(self, losses, previous):
        ...         return (losses == losses.max()).float()
        >>> MaxStrategy()(torch.tensor([1., 3.]), torch.tensor([1., 3.]))
        tensor([0., 2.])
    """

    #: Keeps a division by a loss of 0 finite.
    eps = 1e-8

    def __call__(self, losses: Tensor, previous: Tensor) -> Tensor:
        """Compute the weights of all branches for one term.

        Args:
            losses (Tensor): Smoothed losses of the branches, before their
                ``loss_weight``, (L, ).
            previous (Tensor): The same at the update before, (L, ); equal to
                ``losses`` at the first update.

        Returns:
            Tensor: Weights of average 1, (L, ).
        """
        weights = self.allocate(losses, previous)
        total = weights.sum()
        # All losses 0: nothing to prefer.
        weights = torch.where(
            total == 0,
            torch.full_like(weights, 1 / len(weights)),
            weights / total,
        )
        return len(weights) * weights

    @abstractmethod
    def allocate(self, losses: Tensor, previous: Tensor) -> Tensor:
        """Compute weights >= 0, up to a common factor.

        Args:
            losses (Tensor): (L, ).
            previous (Tensor): (L, ).

        Returns:
            Tensor: (L, ).
        """


def check_temperature(temperature: float) -> float:
    """Return ``temperature``.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not positive and finite.
    """
    check_value('temperature', temperature, POSITIVE)
    return temperature
