"""Remember the buffers of a model, to put them back."""

from collections import defaultdict

import torch
from torch import Tensor, nn

# Older versions of torch have none.
_foreach_copy = getattr(torch, '_foreach_copy_', None)


class BufferSnapshot:
    """The buffers of the modules in training mode, as they were.

    A forward in training mode changes them: running statistics, the memory of
    a loss, the branch losses of DSKD. A module in evaluation mode, such as a
    frozen teacher, keeps its own.

    It takes one copy per iteration, into the same memory. It does not look at
    the version counters of tensors: batch norm doesn't count in them.

    Args:
        model (nn.Module): The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = [m for m in model.modules() if m._buffers]
        self._buffers: list[Tensor] = []
        # Of the same kind, as torch copies such at once: buffers, copies.
        self._groups: list[tuple[list[Tensor], list[Tensor]]] = []

    @torch.no_grad()
    def take(self) -> None:
        """Remember the buffers as they are now."""
        buffers = [
            buffer
            for module in self._modules
            if module.training
            for buffer in module._buffers.values()
            if buffer is not None
        ]
        if len(buffers) != len(self._buffers) or any(
            new is not old for new, old in zip(buffers, self._buffers)
        ):
            self._buffers = buffers
            kinds: dict[tuple, list[Tensor]] = defaultdict(list)
            for buffer in buffers:
                kinds[buffer.device, buffer.dtype].append(buffer)
            self._groups = [
                (group, [buffer.clone() for buffer in group])
                for group in kinds.values()
            ]
            return
        for group, copies in self._groups:
            _copy(copies, group)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the buffers back, those that were remembered last."""
        for group, copies in self._groups:
            _copy(group, copies)


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy tensors of one kind."""
    if _foreach_copy is not None:
        _foreach_copy(targets, sources)
        return
    for target, source in zip(targets, sources):
        target.copy_(source)
