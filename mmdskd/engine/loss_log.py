"""What the log says of the losses and weights of the branches."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from mmdskd.models import DSKDLoss

from .distillation_parts import log_prefix

#: Name in a checkpoint: losses that were not logged yet.
LOG_KEY = 'dskd_loss_log'


class LossLog:
    """Losses and weights of the branches, until they are logged.

    It keeps sums, so it does not grow if nobody reads it.

    Args:
        losses (dict[str, DSKDLoss]): The losses by name.
        scaled (Collection[str]): Those whose factor on the whole is logged,
            too.
    """

    def __init__(
        self, losses: Mapping[str, DSKDLoss], scaled: Collection[str]
    ) -> None:
        self._losses = losses
        self._scaled = scaled
        # Per loss and term: sum over the iterations, and their number.
        self._sums: dict[tuple[str, str], tuple[Tensor, int]] = dict()

    def add(self, name: str, means: Mapping[str, Tensor]) -> None:
        """Add an iteration of a loss.

        Args:
            name (str): Name of the loss.
            means (dict[str, Tensor]): What it has collected, per term (L, ).
        """
        for term, mean in means.items():
            total, count = self._sums.get((name, term), (0, 0))
            self._sums[name, term] = (total + mean, count + 1)

    def get_state(self) -> dict[str, dict[str, list]]:
        """Get what was not read yet, for a checkpoint.

        Returns:
            dict: Per loss and term, the sum (L, ) and the number of
            iterations.
        """
        state: dict[str, dict[str, list]] = {}
        for (name, term), (total, count) in self._sums.items():
            state.setdefault(name, {})[term] = [total.clone(), count]
        return state

    def set_state(self, state: dict[str, dict[str, list]]) -> None:
        """Go on with what was not read yet.

        Args:
            state (dict): What :meth:`get_state` returned.
        """
        self._sums = {
            (name, term): (total, count)
            for name, terms in state.items()
            if name in self._losses
            for term, (total, count) in terms.items()
        }

    def read(self) -> tuple[dict[str, float], dict[str, float]]:
        """Read all of it, in one transfer from the device, and forget it.

        Returns:
            tuple[dict[str, float], dict[str, float]]: Scalars by their key in
            the log, the losses as means since the last reading; and per loss
            and term, such as ``loss_dskd.logit``, how many were not finite
            since the start of training.
        """
        scalars: dict[str, Tensor] = dict()
        for name, loss in self._losses.items():
            prefix = log_prefix(name)
            for term, allocation in loss.allocation.items():
                if (name, term) in self._sums:
                    total, count = self._sums[name, term]
                    for i, mean in enumerate(total / count):
                        scalars[f'{prefix}.{term}_{i}'] = mean
                for i, weight in enumerate(allocation.weights):
                    scalars[f'{prefix}.weight_{term}_{i}'] = weight
            if name in self._scaled:
                scalars[f'{prefix}.ramp'] = loss.ramp
        self._sums.clear()
        counts = {
            f'{name}.{term}': allocation.num_nonfinite
            for name, loss in self._losses.items()
            for term, allocation in loss.allocation.items()
        }
        tensors = [*scalars.values(), *counts.values()]
        values = iter(torch.stack(tensors).tolist())
        return (
            {key: next(values) for key in scalars},
            {key: next(values) for key in counts},
        )
