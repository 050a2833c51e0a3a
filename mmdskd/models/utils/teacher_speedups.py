"""Checks of the ways to speed a frozen teacher up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional, Union

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from mmengine.dist import all_reduce
from torch import Tensor, nn

AUTOCAST_DTYPES = ('bfloat16', 'float16')


def check_speedups(
    fold_bn: bool,
    channels_last: bool,
    autocast_dtype: Optional[str],
    compile_cfg: Union[bool, dict],
) -> None:
    """Check the arguments that speed a teacher up.

    Args:
        fold_bn (bool): Value of ``teacher_fold_bn``.
        channels_last (bool): Value of ``teacher_channels_last``.
        autocast_dtype (str, optional): Value of ``teacher_autocast_dtype``.
        compile_cfg (bool or dict): Value of ``teacher_compile``.

    Raises:
        ValueError: If a value is not valid, or this machine lacks what it
            needs.
    """
    for name, value in (
        ('teacher_fold_bn', fold_bn),
        ('teacher_channels_last', channels_last),
    ):
        if not isinstance(value, bool):
            raise ValueError(
                f'{name} should be True or False, but got {value!r}'
            )
    if autocast_dtype is not None:
        if autocast_dtype not in AUTOCAST_DTYPES:
            raise ValueError(
                'teacher_autocast_dtype should be one of '
                f'{", ".join(AUTOCAST_DTYPES)}, or None, but got '
                f'{autocast_dtype!r}'
            )
        check_autocast(get_device(), autocast_dtype)
    check_compile(compile_cfg)


def check_autocast(device: str, dtype: str) -> None:
    """Check that a device computes in a type of half precision.

    Args:
        device (str): Type of the device, such as "cuda".
        dtype (str): "bfloat16" or "float16".

    Raises:
        ValueError: If it does not.
    """
    pixel = torch.ones(1, 1, 1, 1, device=device)
    result: object
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


def check_compile(cfg: Union[bool, dict]) -> None:
    """Check that the teacher can be compiled.

    Args:
        cfg (bool or dict): Value of ``teacher_compile``.

    Raises:
        ValueError: If it is not a bool or a dict, if this PyTorch has no
            ``nn.Module.compile``, or if :func:`torch.compile` refuses the
            arguments.
    """
    if not isinstance(cfg, (bool, dict)):
        raise ValueError(
            'teacher_compile should be a bool or a dict of '
            f'arguments, but got {cfg!r}'
        )
    if cfg is False:
        return
    if not hasattr(nn.Module, 'compile'):
        raise ValueError(
            'teacher_compile needs torch >= 2.2, but this '
            f'is torch {torch.__version__}'
        )
    try:
        torch.compile(nn.Identity(), **compile_arguments(cfg))
    # A backend that is unknown, an argument, or this very Python
    except Exception as error:
        raise ValueError(
            f'teacher_compile={cfg!r} is not what '
            f'torch.compile takes here: {error}'
        ) from error


def compile_arguments(cfg: Union[bool, dict]) -> dict:
    """Get the arguments of :func:`torch.compile`.

    Args:
        cfg (bool or dict): Value of ``teacher_compile``.

    Returns:
        dict: The arguments; none if the value is a bool.
    """
    return cfg if isinstance(cfg, dict) else {}


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


def on_any_rank(condition: bool) -> bool:
    """Find out whether a condition holds on any rank.

    All ranks must call this, each with its own condition.

    Args:
        condition (bool): The condition on this rank.

    Returns:
        bool: Whether it holds on at least one rank; the same on all ranks.
    """
    count = torch.tensor(int(condition))
    all_reduce(count)
    return bool(count.item())


@contextmanager
def no_tf32() -> Iterator[None]:
    """Let a GPU compute in full float32, so that errors of rounding are not
    taken for those of a change."""
    backends: tuple[Any, ...] = (
        torch.backends.cudnn,
        torch.backends.cuda.matmul,
    )
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


def attempt(
    function: Callable[[], list[Tensor]],
) -> tuple[list[Tensor], Optional[Exception]]:
    """Call a function, and return its result or its error.

    Args:
        function (Callable): Returns tensors.

    Returns:
        tuple: The tensors, none after an error, and the error.
    """
    try:
        return function(), None
    except Exception as error:
        return [], error


def describe(error: Optional[Exception]) -> str:
    """Name an error of this rank, or else of another one.

    Args:
        error (Exception, optional): The error of this rank.

    Returns:
        str: Its type and message.
    """
    if error is None:
        return 'another rank refuses it'
    return f'{type(error).__name__}: {error}'
