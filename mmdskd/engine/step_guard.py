"""Keep nan and inf out of a step of the optimizer."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Callable

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class StepGuard:
    """Look at the loss and the gradients before each step.

    A loss that is not finite, or running statistics of batch norms that have
    become so, make the gradients nan. Gradients are the same on all ranks of
    distributed training, so all ranks decide alike, without a message of
    their own. The step waits for the device once, to read whether the
    gradients are finite.

    Under automatic mixed precision, the gradient scaler leaves out a step
    with inf or nan by itself, as it often does in search of its scale. Only
    if a loss was not finite, too, there is something to report.

    Args:
        optim_wrapper (OptimWrapper or OptimWrapperDict): That of the runner.
        model (nn.Module): The model, unwrapped.
        leave_out (bool): Whether to leave out the step, else it is done
            nevertheless.

    Attributes:
        found (bool): Whether a step since :meth:`begin` met nan or inf.
        stepped (bool): Whether there was a step since then.
        losses (list[Tensor]): Those of which the step, or the next one, is
            made, detached; nan if running statistics are not finite.
    """

    def __init__(
        self, optim_wrapper: Any, model: nn.Module, leave_out: bool
    ) -> None:
        self._wrappers = list_wrappers(optim_wrapper)
        self._norms = [m for m in model.modules() if isinstance(m, _NormBase)]
        self._leave_out = leave_out
        self._originals: list[tuple[OptimWrapper, str, Callable]] = []
        self.found = self.stepped = False
        self.losses: list[Tensor] = []

    def install(self) -> None:
        """Take the place of ``backward`` and ``step`` of the wrappers."""
        for wrapper in self._wrappers:
            for name, method in (
                ('backward', self._backward),
                ('step', self._step),
            ):
                original = getattr(wrapper, name)
                self._originals.append((wrapper, name, original))
                guarded: Any = partial(method, wrapper, original)
                # Schedulers count the steps: theirs is within.
                guarded._with_counter = True
                setattr(wrapper, name, guarded)

    def remove(self) -> None:
        """Give the wrappers their own methods back."""
        for wrapper, name, original in self._originals:
            setattr(wrapper, name, original)
        self._originals.clear()

    def begin(self) -> bool:
        """Begin an iteration.

        Returns:
            bool: Whether it is the first one of a step. The others add
            their gradients to it, see ``accumulative_counts``.
        """
        is_first = all(wrapper.should_update() for wrapper in self._wrappers)
        if is_first:
            self.losses.clear()
        self.found = self.stepped = False
        return is_first

    def has_finite_losses(self) -> bool:
        """Whether the losses on this rank are finite. It waits for the
        device."""
        return all(bool(loss.isfinite().all()) for loss in self.losses)

    def _backward(
        self,
        wrapper: OptimWrapper,
        original: Callable,
        loss: Tensor,
        **kwargs: Any,
    ) -> None:
        # 0, or nan if the loss or a statistic is not finite.
        zero = 0 * loss.detach()
        stats = [
            stat
            for norm in self._norms
            for stat in (norm.running_mean, norm.running_var)
            if stat is not None
        ]
        if stats:
            zero = zero + 0 * torch.cat(stats).sum().to(loss)
        self.losses.append(loss.detach() + zero)
        original(loss * (1 + zero) if self._leave_out else loss, **kwargs)

    def _step(
        self, wrapper: OptimWrapper, original: Callable, **kwargs: Any
    ) -> None:
        self.stepped = True
        groups = wrapper.optimizer.param_groups
        finite = are_finite(
            param.grad
            for group in groups
            for param in group['params']
            if param.grad is not None
        )
        if finite:
            original(**kwargs)
            return
        scaler = getattr(wrapper, 'loss_scaler', None)
        is_scaled = scaler is not None and scaler.is_enabled()
        if is_scaled or not self._leave_out:
            original(**kwargs)
        if is_scaled:
            # The gradients are the same on all ranks, so all are here.
            flag = torch.tensor(float(self.has_finite_losses()))
            flag = flag.to(groups[0]['params'][0].device)
            all_reduce(flag, 'min')
            finite = bool(flag)
        self.found = self.found or not finite


def list_wrappers(optim_wrapper: Any) -> list[OptimWrapper]:
    """List the wrappers of a runner, each with its optimizer.

    Args:
        optim_wrapper (OptimWrapper or OptimWrapperDict): That of the runner.

    Returns:
        list[OptimWrapper]: The wrappers.
    """
    if isinstance(optim_wrapper, OptimWrapperDict):
        return list(optim_wrapper.optim_wrappers.values())
    return [optim_wrapper]


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether tensors are finite, with one transfer from the device.

    Args:
        tensors (Iterable[Tensor]): Tensors on one device.

    Returns:
        bool: Whether there is neither inf nor nan.
    """
    dense = [
        tensor._values() if tensor.is_sparse else tensor for tensor in tensors
    ]
    if not dense:
        return True
    # The quickest way on a processor and on a GPU. A sum of squares may
    # overflow: then each tensor is looked at.
    norms = torch.stack(list(torch._foreach_norm(dense, 2)))
    return bool(norms.isfinite().all()) or all(
        bool(tensor.isfinite().all()) for tensor in dense
    )


def move_to_host(outputs: Any) -> None:
    """Move the losses of an iteration to the host, in one transfer.

    MMEngine reads each of them, and would wait for the device each time.

    Args:
        outputs (dict, optional): Losses by name, changed in place.
    """
    if not isinstance(outputs, dict):
        return
    names = [
        name
        for name, value in outputs.items()
        if isinstance(value, Tensor)
        and value.device.type != 'cpu'
        and value.numel() == 1
    ]
    if names:
        values = [outputs[name].detach().float().reshape(()) for name in names]
        outputs.update(zip(names, torch.stack(values).cpu().unbind()))
