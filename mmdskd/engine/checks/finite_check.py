"""Check that a training begins with numbers."""

from typing import Any, Union

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mmdskd.utils.finite import nonfinite_tensors, nonfinite_text

from ..step_guard import list_wrappers


def check_finite(
    model: nn.Module, optim_wrapper: Union[OptimWrapper, OptimWrapperDict]
) -> None:
    """Check that weights, statistics and momentum are finite.

    Args:
        model (nn.Module): The model of a training, unwrapped.
        optim_wrapper (OptimWrapper or OptimWrapperDict): That of the runner.

    Raises:
        ValueError: If there is nan or inf in one.
    """
    broken = nonfinite_tensors(named_tensors(model)) + nonfinite_tensors(
        (f'{key} of parameter {number} in the optimizer', value)
        for wrapper in list_wrappers(optim_wrapper)
        for number, state in enumerate(wrapper.optimizer.state.values())
        for key, value in state.items()
        if isinstance(value, Tensor)
    )
    if broken:
        raise ValueError(
            'Weights and momentum should be finite before training. '
            f'{nonfinite_text("The model", broken)} Choose an earlier '
            'checkpoint for load_from, --resume or teacher_ckpt.'
        )


def named_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """List the tensors of a model, and of a teacher outside of its modules.

    Args:
        model (nn.Module): The model, unwrapped.

    Returns:
        list[tuple[str, Tensor]]: Names and tensors.
    """
    parts = {'': model}
    teacher: Any = getattr(model, 'teacher', None)
    if isinstance(teacher, nn.Module) and 'teacher' not in model._modules:
        parts['teacher'] = teacher
    return [
        named
        for prefix, part in parts.items()
        for named in (
            *part.named_parameters(prefix=prefix),
            *part.named_buffers(prefix=prefix),
        )
    ]
