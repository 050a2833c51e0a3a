"""What the exporters of all formats share."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Callable

import torch
from torch import Tensor

# Name of the input, and of the size of the batch where that is not fixed
INPUT = 'images'
BATCH = 'batch'
# What a trace of a fixed image size, which is compared afterwards, warns of
NOISE = (DeprecationWarning, FutureWarning, torch.jit.TracerWarning)
LOGGERS = ('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir')

# From images to outputs, on the CPU
Run = Callable[[Tensor], list[Tensor]]


class ExportError(RuntimeError):
    """A network can't be exported."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the remarks of exporters on themselves off the console.

    Warnings of other packages, such as that of the network, are passed on.
    """
    levels = [(log, log.level) for log in map(logging.getLogger, LOGGERS)]
    for log, _ in levels:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            with contextlib.redirect_stdout(io.StringIO()):
                yield
    finally:
        for log, level in levels:
            log.setLevel(level)
    for warning in caught:
        is_own = f'{os.sep}torch{os.sep}' in warning.filename
        if not is_own and not issubclass(warning.category, NOISE):
            warnings.warn_explicit(
                warning.message,
                warning.category,
                warning.filename,
                warning.lineno,
            )


def first_line(error: Exception) -> str:
    """Name an error in one line.

    Args:
        error (Exception): The error of an exporter.

    Returns:
        str: Its type, and the line that tells the cause.
    """
    lines = [line.strip() for line in str(error).splitlines()]
    text = next((line for line in lines if line), '')
    # What torch.export puts its own advice around
    causes = [line for line in lines if line.startswith("<class '")]
    return f'{type(error).__name__}: {causes[0] if causes else text}'
