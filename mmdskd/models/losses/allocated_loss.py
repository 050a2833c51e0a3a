"""What a loss of several branches remembers and does to balance them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union, cast

import torch
from torch import Tensor, nn

from .branch_weights import (
    BranchWeights,
    Strategy,
    add_over_ranks,
    rule_by_term,
)
from .loss_schedule import LossSchedule


class AllocatedLoss(nn.Module):
    """Base class of a loss whose branches are weighted by their losses, and
    whose whole follows a schedule.

    Args:
        terms (Sequence[str]): Names of the terms, each with its weights.
        num_branches (int): Number of branches L.
        schedule (str, dict or LossSchedule): See :class:`LossSchedule`.

    Attributes:
        allocation (nn.ModuleDict): :class:`BranchWeights` per term.
        ramp (Tensor): Factor on the whole, in [0, 1], a buffer.
        schedule (LossSchedule): The schedule.

    Raises:
        TypeError: If ``schedule`` is none.
        ValueError: If a value of it is out of its range.
    """

    allocation: Mapping[str, BranchWeights]
    ramp: Tensor

    def __init__(
        self,
        terms: Sequence[str],
        num_branches: int,
        schedule: Union[str, dict, LossSchedule] = 'constant',
    ) -> None:
        super().__init__()
        self.schedule = LossSchedule.build(schedule)
        self._has_progress = self.schedule.is_constant
        allocation = {term: BranchWeights(num_branches) for term in terms}
        self.allocation = cast(Any, nn.ModuleDict(allocation))
        self.register_buffer('ramp', torch.tensor(1.0))

    @property
    def num_nonfinite(self) -> Tensor:
        """Tensor: Number of losses left out of the weights, scalar."""
        counts = [w.num_nonfinite for w in self.allocation.values()]
        return torch.stack(counts).sum()

    def reset(self) -> None:
        """Start anew with equal weights and without ramp."""
        for weights in self.allocation.values():
            weights.reset()
        self.ramp.fill_(1)

    def set_progress(self, progress: float, warmup: float = 1.0) -> None:
        """Write the factor on the whole, before an iteration.

        Args:
            progress (float): The finished fraction of the training, in
                [0, 1].
            warmup (float): Factor of a warm-up, in [0, 1]. Defaults to 1.

        Raises:
            ValueError: If a number is out of its range.
        """
        if not 0 <= warmup <= 1:
            raise ValueError(f'warmup should be in [0, 1], but got {warmup!r}')
        self.ramp.fill_(warmup * self.schedule(progress))
        self._has_progress = True

    def check_progress(self) -> None:
        """Check that somebody says where on the schedule the training is.

        Raises:
            RuntimeError: If nobody does.
        """
        if self.training and not self._has_progress:
            raise RuntimeError(
                f'{type(self).__name__} has the schedule '
                f'{self.schedule.type!r}, but is not told the progress of the '
                'training: add mmdskd.LossWeightSchedulerHook to '
                'custom_hooks, or call set_progress before each iteration'
            )

    def take_losses(self) -> dict[str, Tensor]:
        """Hand over the losses since the last call, and forget them.

        Returns:
            dict[str, Tensor]: Per term the mean over the forwards in training
            mode, before their ``loss_weight``, detached, (L, ). Empty if
            there was none.
        """
        means = {name: w.take() for name, w in self.allocation.items()}
        return {n: mean for n, mean in means.items() if mean is not None}

    def nonfinite_branches(self) -> dict[str, list[int]]:
        """Find the branches whose loss was inf or nan since it was taken.

        It waits for the device.

        Returns:
            dict[str, list[int]]: Numbers of the branches per term, of the
            terms that have such.
        """
        found = {n: w.nonfinite_branches() for n, w in self.allocation.items()}
        return {name: branches for name, branches in found.items() if branches}

    def collect_losses(self) -> dict[str, Tensor]:
        """Collect the losses of an iteration, for the next update of the
        weights.

        Call it after each iteration, on all ranks alike, also on one whose
        loss did not run. The mean of all forwards in training mode since the
        last call counts; if one was not finite, all are left out. For several
        losses, :func:`collect_losses` needs one message between the ranks.

        Returns:
            dict[str, Tensor]: What :meth:`take_losses` returns.
        """
        return collect_losses([self])[0]

    def update_weights(
        self,
        strategy: Union[Strategy, Mapping[str, Strategy]],
        ema_decay: float = 0.9,
        strength: float = 1.0,
    ) -> None:
        """Write the weights, from the losses collected since the last update.

        Args:
            strategy (Callable or dict[str, Callable]): The rule, such as
                :class:`~mmdskd.models.SoftmaxStrategy`, or one for each term,
                by its name.
            ema_decay (float): Share of the old losses in the smoothed ones,
                in [0, 1). Defaults to 0.9.
            strength (float): Share of the rule in the weights, in [0, 1]; the
                rest is 1 for each branch. Defaults to 1.

        Raises:
            TypeError: If ``strategy`` is none of these.
            KeyError: If a term has no rule.
            ValueError: If ``ema_decay`` or ``strength`` is out of its range.
        """
        rules = rule_by_term(strategy, list(self.allocation))
        for term, weights in self.allocation.items():
            weights.update(rules[term], ema_decay, strength)


def collect_losses(losses: Iterable[AllocatedLoss]) -> list[dict[str, Tensor]]:
    """Collect an iteration of several losses, in one message between ranks.

    Args:
        losses (Iterable[AllocatedLoss]): The losses, the same ones on all
            ranks.

    Returns:
        list[dict[str, Tensor]]: What :meth:`AllocatedLoss.take_losses`
            returns, of each.
    """
    losses = list(losses)
    taken = [loss.take_losses() for loss in losses]
    add_over_ranks(
        [
            (weights, means.get(name))
            for loss, means in zip(losses, taken)
            for name, weights in loss.allocation.items()
        ]
    )
    return taken
