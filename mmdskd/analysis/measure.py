"""Time, speed and memory of functions that run in this process."""

import os
import platform
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import torch
from mmengine.device import get_device
from torch.profiler import ProfilerActivity, profile

from mmdskd.utils.text import format_row

CPU_INFO = Path('/proc/cpuinfo')


class Quartiles(NamedTuple):
    """Median and quartiles of measured values."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> 'Quartiles':
        """Compute them.

        Args:
            values (list[float]): At least two values.

        Returns:
            Quartiles: Their quartiles, interpolated.
        """
        return cls(*statistics.quantiles(values, n=4, method='inclusive'))

    def format(self, digits: int) -> str:
        """Write them as "median [low, high]"."""
        return (
            f'{self.median:,.{digits}f} '
            f'[{self.low:,.{digits}f}, {self.high:,.{digits}f}]'
        )


def synchronize(device: Optional[str] = None) -> None:
    """Wait until a device has finished its work.

    Args:
        device (str, optional): Name of the device, such as "cuda:1". None
            means the one that MMEngine trains on. Defaults to None.
    """
    found = torch.device(get_device() if device is None else device)
    if found.type != 'cpu':
        # Every accelerator has its module: torch.cuda, torch.npu, ...
        index = () if found.index is None else (found.index,)
        getattr(torch, found.type).synchronize(*index)


def measure_times(
    steps: Sequence[Callable[[], object]],
    iters: int,
    warmup: int,
    device: Optional[str] = None,
) -> list[list[float]]:
    """Measure steps in turns.

    Args:
        steps (Sequence[Callable]): The steps.
        iters (int): How often each is measured.
        warmup (int): How often each is run before that.
        device (str, optional): Device of the steps, see :func:`synchronize`.
            Defaults to None.

    Returns:
        list[list[float]]: Seconds of each step, in order of time.
    """
    times: list[list[float]] = [[] for _ in steps]
    for iteration in range(warmup + iters):
        for step, seconds in zip(steps, times):
            synchronize(device)
            start = time.perf_counter()
            step()
            synchronize(device)
            if iteration >= warmup:
                seconds.append(time.perf_counter() - start)
    return times


def measure_speeds(
    functions: Mapping[str, Callable[[], int]],
    turns: int,
    device: Optional[str] = None,
) -> dict[str, list[float]]:
    """Measure functions in turns, after one turn that does not count.

    Args:
        functions (Mapping[str, Callable]): They return a number of images,
            the same in every turn.
        turns (int): How often each is measured.
        device (str, optional): Their device, see :func:`synchronize`.
            Defaults to None.

    Returns:
        dict[str, list[float]]: Seconds per image, in order of time.
    """
    images = [function() for function in functions.values()]
    times = measure_times(list(functions.values()), turns, 0, device)
    return {
        name: [value / number for value in seconds]
        for name, number, seconds in zip(functions, images, times)
    }


def format_speeds(times: Mapping[str, list[float]], first: str) -> str:
    """Write measured speeds as a table.

    Args:
        times (Mapping[str, list[float]]): Seconds per image, by turns.
        first (str): Name of the function with which the others are compared.

    Returns:
        str: The table in Markdown. A ratio of 2 means twice as fast, and
        ratios are of the same turn.
    """
    lines = [
        '| | images/s | us/image | speed / that of the first |',
        '|-|-:|-:|-:|',
    ]
    for name in sorted(times, key=lambda name: name != first):
        seconds = times[name]
        cells = (
            name,
            Quartiles.of([1 / s for s in seconds]).format(0),
            Quartiles.of([1e6 * s for s in seconds]).format(1),
            Quartiles.of(
                [a / b for a, b in zip(times[first], seconds)]
            ).format(2),
        )
        lines.append(format_row(cells))
    return '\n'.join(lines)


class Allocations(NamedTuple):
    """What PyTorch's allocator gave to a function.

    Attributes:
        kept (int): Bytes that the function has not given back. Below 0 if it
            has given back more than it took.
        peak (int): The most bytes that it held at a time.
    """

    kept: int
    peak: int


def measure_allocations(function: Callable[[], Any]) -> Allocations:
    """Call a function, and follow what it allocates.

    With a GPU this is the memory of the GPU, by the account of the allocator,
    and else that of the CPU, by the account of the profiler. The latter does
    not see that memory is given back if it was taken outside of a call of
    this function.

    Args:
        function (Callable): The function.

    Returns:
        Allocations: What it allocated.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        function()
        return Allocations(
            torch.cuda.memory_allocated() - start,
            torch.cuda.max_memory_allocated() - start,
        )
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        function()
    totals = list(
        accumulate(
            event.nbytes()
            for event in profiler.profiler.kineto_results.events()
            if event.name() == '[memory]'
        )
    )
    return (
        Allocations(totals[-1], max(0, *totals))
        if totals
        else (Allocations(0, 0))
    )


def describe_device(device: Optional[str] = None) -> str:
    """Name the hardware of a measurement.

    Args:
        device (str, optional): The device, see :func:`synchronize`. Defaults
            to None.

    Returns:
        str: Such as "NVIDIA H100" or "CPU, 2 threads".
    """
    found = torch.device(get_device() if device is None else device)
    if found.type == 'cpu':
        return f'CPU, {torch.get_num_threads()} threads'
    if found.type == 'cuda':
        return torch.cuda.get_device_name(found)
    return str(found)


def describe_machine() -> str:
    """Name the hardware that MMEngine trains on.

    Returns:
        str: Such as "NVIDIA H100", or without an accelerator "AMD EPYC, 2
        cores", whatever the number of threads.
    """
    if get_device() != 'cpu':
        return describe_device()
    name = platform.processor() or platform.machine()
    if CPU_INFO.is_file():  # Linux, where the above is no more than "x86_64"
        found = re.search(r'model name\s*: (.+)', CPU_INFO.read_text())
        name = found[1] if found else name
    return f'{name}, {os.cpu_count()} cores'
