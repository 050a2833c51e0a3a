"""Weights of the branches, and what the allocation remembers."""

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Union

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

Strategy = Callable[[Tensor, Tensor], Tensor]


class BranchWeights(nn.Module):
    """The weights of the branches for one term of the loss, with all that the
    loss-based allocation remembers.

    All that was collected is in buffers: it is in checkpoints, and a resumed
    run goes on where the saved one was. Of the forwards since then there is
    only the sum. It moves with the model, but is neither saved nor sent to
    other ranks. No method waits for the device.

    Args:
        num_branches (int): Number of branches L.

    Attributes:
        weights (Tensor): Weight per branch, averaging to 1, (L, ).
        ema (Tensor): Smoothed losses at the last update, (L, ).
        previous (Tensor): Smoothed losses at the update before it, (L, ).
        pending (Tensor): Since the last update, over all ranks: sum of the
            losses, number of losses in it, and number of losses left out
            because one was not finite, (L + 2, ).
        num_updates (Tensor): Number of updates, scalar.
        num_nonfinite (Tensor): Number of losses left out, scalar.
    """

    weights: Tensor
    ema: Tensor
    previous: Tensor
    pending: Tensor
    num_updates: Tensor
    num_nonfinite: Tensor

    def __init__(self, num_branches: int) -> None:
        super().__init__()
        self.register_buffer('weights', torch.ones(num_branches))
        self.register_buffer('ema', torch.zeros(num_branches))
        self.register_buffer('previous', torch.zeros(num_branches))
        self.register_buffer('pending', torch.zeros(num_branches + 2))
        self.register_buffer('num_updates', torch.tensor(0.0))
        self.register_buffer('num_nonfinite', torch.tensor(0.0))
        # Sum over the forwards since the last take, and their number. No
        # buffer, as distributed training would send it to the other ranks.
        self._sum: Optional[Tensor] = None
        self._num_forwards = 0

    def _apply(
        self, fn: Callable, *args: Any, **kwargs: Any
    ) -> 'BranchWeights':
        """Move the sum, too."""
        super()._apply(fn, *args, **kwargs)
        if self._sum is not None:
            self._sum = fn(self._sum)
        return self

    def record(self, losses: Tensor) -> None:
        """Record the losses of a forward, in constant memory.

        Args:
            losses (Tensor): Losses before their ``loss_weight``, detached,
                (L, ).
        """
        self._sum = losses if self._sum is None else self._sum + losses
        self._num_forwards += 1

    def take(self) -> Optional[Tensor]:
        """Return the mean over the forwards since the last call, and forget
        them.

        Returns:
            Tensor, optional: The mean losses, (L, ), or None if there was no
            forward. One loss that is not finite makes its mean so.
        """
        total, count = self._sum, self._num_forwards
        self._sum, self._num_forwards = None, 0
        return None if total is None else total / count

    def nonfinite_branches(self) -> list[int]:
        """Find the branches whose loss was inf or nan since the last take.

        Returns:
            list[int]: Their numbers.
        """
        if self._sum is None:
            return []
        return (~self._sum.isfinite()).nonzero().flatten().tolist()

    def reset(self) -> None:
        """Start anew with equal weights."""
        self.take()
        for name, buffer in self.named_buffers():
            buffer.fill_(1 if name == 'weights' else 0)

    @torch.no_grad()
    def to_row(self, losses: Optional[Tensor]) -> Tensor:
        """Make what :meth:`add` takes of the losses of an iteration.

        Rows add up over ranks. Losses of which one is not finite count as
        left out.

        Args:
            losses (Tensor, optional): Losses before their ``loss_weight``,
                (L, ), or None if there was no forward.

        Returns:
            Tensor: A row of ``pending``, (L + 2, ), zeros for None.
        """
        if losses is None:
            return torch.zeros_like(self.pending)
        finite = losses.isfinite().all()
        kept = torch.where(finite, losses, torch.zeros_like(losses))
        row = torch.cat([kept, torch.stack([finite, ~finite])])
        return row.to(self.pending)

    def add(self, row: Tensor) -> None:
        """Take in an iteration.

        Args:
            row (Tensor): A row, or the sum of those of all ranks, (L + 2, ).
        """
        self.pending += row

    @torch.no_grad()
    def update(
        self, strategy: Strategy, ema_decay: float = 0.0, strength: float = 1.0
    ) -> None:
        """Compute the weights from the losses since the last update.

        Without any finite loss since then, all stays as it was.

        Args:
            strategy (Callable): Maps smoothed losses, now and at the update
                before, each (L, ), to weights of average 1, (L, ).
            ema_decay (float): Share of the old value in the smoothed losses,
                in [0, 1). The first update takes the losses as they are.
                Defaults to 0.
            strength (float): Share of the strategy in the weights, in
                [0, 1]; the rest is 1 for each branch. Defaults to 1.

        Raises:
            ValueError: If ``ema_decay`` or ``strength`` is out of its range.
        """
        if not 0 <= ema_decay < 1:
            raise ValueError(
                f'ema_decay should be in [0, 1), but got {ema_decay}'
            )
        if not 0 <= strength <= 1:
            raise ValueError(
                f'strength should be in [0, 1], but got {strength}'
            )
        count, num_nonfinite = self.pending[-2:]
        mean = self.pending[:-2] / count.clamp(min=1)
        previous = torch.where(self.num_updates == 0, mean, self.ema)
        smoothed = torch.lerp(mean, previous, ema_decay)
        weights = strategy(smoothed, previous)
        if strength < 1:
            weights = 1 + strength * (weights - 1)

        # Comparisons with nan are False.
        total = weights.sum()
        valid = (count > 0) & (total > 0) & (total < float('inf'))
        for buffer, value in (
            (self.weights, weights),
            (self.previous, previous),
            (self.ema, smoothed),
        ):
            buffer.copy_(torch.where(valid, value, buffer))
        self.num_updates += valid
        self.num_nonfinite += num_nonfinite
        self.pending.zero_()


def rule_by_term(
    strategy: Union[Strategy, Mapping[str, Strategy]], terms: Sequence[str]
) -> dict[str, Strategy]:
    """Find the rule of each term.

    Args:
        strategy (Callable or dict[str, Callable]): One for all terms, or one
            for each.
        terms (Sequence[str]): Names of the terms.

    Returns:
        dict[str, Callable]: The rules by term.

    Raises:
        TypeError: If ``strategy`` is neither.
        KeyError: If a term has no rule.
    """
    if callable(strategy):
        return dict.fromkeys(terms, strategy)
    if not isinstance(strategy, Mapping):
        raise TypeError(
            'strategy should be a function of losses and previous losses, '
            f'such as SoftmaxStrategy(), or a dict of them by term, but '
            f'got {strategy!r}'
        )
    for term in terms:
        if term not in strategy:
            raise KeyError(
                'strategy should be one, or one for each of the terms '
                f'{terms}, but has none for {term!r}'
            )
    return dict(strategy)


def add_over_ranks(
    collected: Sequence[tuple[BranchWeights, Optional[Tensor]]],
) -> None:
    """Take in the losses of an iteration on all ranks, in one message.

    The sum is made at each iteration, not at each update, so that what is
    pending is the same on every rank: a checkpoint holds that of one. The
    message has the same length on each rank, whether or not its loss ran.

    Args:
        collected (Sequence[tuple[BranchWeights, Tensor or None]]): Weights,
            the same ones on all ranks, and the losses of their branches
            before their ``loss_weight``, (L, ), or None if there was no
            forward on this rank.
    """
    rows = [weights.to_row(losses) for weights, losses in collected]
    if rows and get_world_size() > 1:
        lengths = [len(row) for row in rows]
        flat = torch.cat(rows)
        all_reduce(flat)
        rows = flat.split(lengths)
    for (weights, _), row in zip(collected, rows):
        weights.add(row)
