import statistics
import time
from itertools import accumulate
from typing import Any, Callable, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile


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
            f'{self.median:.{digits}f} '
            f'[{self.low:.{digits}f}, {self.high:.{digits}f}]'
        )


def synchronize() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_times(
    steps: list[Callable[[], None]], iters: int, warmup: int
) -> list[list[float]]:
    """Measure steps in turns.

    Args:
        steps (list[Callable]): The steps.
        iters (int): How often each is measured.
        warmup (int): How often each is run before that.

    Returns:
        list[list[float]]: Seconds of each step, in order of time.
    """
    times: list[list[float]] = [[] for _ in steps]
    for iteration in range(warmup + iters):
        for step, seconds in zip(steps, times):
            synchronize()
            start = time.perf_counter()
            step()
            synchronize()
            if iteration >= warmup:
                seconds.append(time.perf_counter() - start)
    return times


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


def describe_machine() -> str:
    """Tell on what was measured."""
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f'CPU, {torch.get_num_threads()} threads'
    )
    return f'{device}, torch {torch.__version__}'
