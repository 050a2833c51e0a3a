from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Undo = Callable[[], None]


AUTOCAST_DTYPES = ('bfloat16', 'float16')


# Largest difference of what the teacher gives when it is sped up, over the
# largest value of it.
TOLERANCE = 1e-3


def check_autocast(device: str, dtype: str) -> None:
    """Check that a device computes in a type of half precision.

    Args:
        device (str): Type of the device, such as "cuda".
        dtype (str): "bfloat16" or "float16".

    Raises:
        ValueError: If it does not.
    """
    pixel = torch.ones(1, 1, 1, 1, device=device)
    try:
        with torch.autocast(device, dtype=getattr(torch, dtype)):
            result = F.conv2d(pixel, pixel).dtype
    except (RuntimeError, TypeError) as error:
        result = error
    if result is not getattr(torch, dtype):
        raise ValueError(
            f'teacher_autocast_dtype={dtype!r} is not there on '
            f'{device!r} with torch {torch.__version__}: '
            f'{result}'
        )


def largest_difference(
    tensors: list[Tensor], reference: list[Tensor]
) -> float:
    """Compute how far tensors are from others, in the worst of them.

    Args:
        tensors (list[Tensor]): The tensors.
        reference (list[Tensor]): As many, of the same shapes.

    Returns:
        float: Largest difference over the largest value of the reference,
        >= 0; NaN if there is one.

    Raises:
        ValueError: If numbers or shapes differ.
    """
    shapes = [
        [value.shape for value in values] for values in (tensors, reference)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f'the recorded shapes are {shapes[0]} and no more {shapes[1]}'
        )
    ratios = [
        (ours.double() - theirs.double()).abs().max()
        / theirs.double().abs().max().clamp(min=torch.finfo().tiny)
        for ours, theirs in zip(tensors, reference)
        if theirs.numel()
    ]
    return torch.stack(ratios).max().item() if ratios else 0.0


def _tensors(data: Any) -> Iterator[Tensor]:
    """Find the tensors in what recorders hold."""
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, dict):
        yield from _tensors(list(data.values()))
    elif isinstance(data, (list, tuple)):
        for item in data:
            yield from _tensors(item)


def _is_activation(data: Any) -> bool:
    return (
        isinstance(data, Tensor)
        and not isinstance(data, nn.Parameter)
        and data.is_floating_point()
    )


def _compile_arguments(cfg: Union[bool, dict]) -> dict:
    return cfg if isinstance(cfg, dict) else {}


@contextmanager
def _no_tf32() -> Iterator[None]:
    """Let a GPU compute in full float32, so that errors of rounding are not
    taken for those of a change."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    try:
        before = [backend.allow_tf32 for backend in backends]
    except RuntimeError:  # set by PyTorch's newer, other settings
        yield
        return
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, value in zip(backends, before):
            backend.allow_tf32 = value
