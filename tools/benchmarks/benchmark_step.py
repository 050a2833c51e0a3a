"""Compare the training steps of configs: time and peak memory.

A step is all that MMEngine does for an iteration but loading its batch:
forward, backward, optimizer and hooks, that of DSKD included. The configs take
turns in one process, so that whatever slows the machine slows all of them.
Teachers have random weights.
"""
import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from importlib import import_module
from typing import Any, Callable, List, NamedTuple, Tuple

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
import torch
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from mmdskd.registry import DATASETS
from mmdskd.utils.cli import add_cfg_options, load_config

MEGABYTE = 2**20
MEMORY_STEPS = 3


class Quartiles(NamedTuple):
    """Median and quartiles of measured values."""
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: List[float]) -> 'Quartiles':
        """Compute them.

        Args:
            values (list[float]): At least two values.

        Returns:
            Quartiles: Their quartiles, interpolated.
        """
        return cls(*statistics.quantiles(values, n=4, method='inclusive'))

    def format(self, digits: int) -> str:
        """Write them as "median [low, high]"."""
        return (f'{self.median:.{digits}f} '
                f'[{self.low:.{digits}f}, {self.high:.{digits}f}]')


@DATASETS.register_module(force=True)
class SyntheticImages(Dataset):
    """Random images, for networks whose data set is not at hand.

    Args:
        shape (Sequence[int]): Channels, height and width.
        length (int): Number of images.
    """

    def __init__(self, shape: Tuple[int, int, int], length: int) -> None:
        self.shape = tuple(shape)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        image = torch.randint(256, self.shape, dtype=torch.uint8)
        # All classifiers have the classes 0 and 1.
        return dict(
            inputs=image,
            data_samples=DataSample().set_gt_label(index % 2))


@LOOPS.register_module(force=True)
class StepwiseTrainLoop(EpochBasedTrainLoop):
    """A train loop that prepares training, and is then called for steps."""

    def run(self) -> None:
        """Do all that comes before the first iteration."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.batch = next(iter(self.dataloader))

    def step(self) -> None:
        """Run one iteration on the first batch."""
        self.run_iter(self.iter % len(self.dataloader), self.batch)


def make_step(config: str, args: argparse.Namespace,
              work_dir: str) -> Callable[[], None]:
    """Build all that a config needs for training.

    Args:
        config (str): Path of the config, or ``package::path``.
        args (Namespace): The arguments of the tool.
        work_dir (str): Folder for the logs.

    Returns:
        Callable: A function that runs one training step.
    """
    cfg = load_config(config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.batch_size is not None:
        cfg.train_dataloader.batch_size = args.batch_size
    if args.synthetic is not None:
        # Two batches, so that not every step ends an epoch.
        cfg.train_dataloader.dataset = dict(
            type='mmdskd.SyntheticImages',
            shape=args.synthetic,
            length=2 * cfg.train_dataloader.batch_size)
    # One batch serves all steps, and a pool's process may have no workers.
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    if 'teacher_ckpt' in cfg.model:
        cfg.model.teacher_ckpt = None
    for part in ('cfg', 'dataloader', 'evaluator'):
        cfg.pop(f'val_{part}', None)
        cfg.pop(f'test_{part}', None)
    cfg.train_cfg = dict(
        type='StepwiseTrainLoop',
        max_epochs=cfg.train_cfg.get('max_epochs', 1))
    cfg.log_level = 'ERROR'
    cfg.work_dir = work_dir
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.train_loop.step


def synchronize() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_times(steps: List[Callable[[], None]], iters: int,
                  warmup: int) -> List[List[float]]:
    """Measure steps in turns.

    Args:
        steps (list[Callable]): The steps.
        iters (int): How often each is measured.
        warmup (int): How often each is run before that.

    Returns:
        list[list[float]]: Seconds of each step, in order of time.
    """
    times: List[List[float]] = [[] for _ in steps]
    for iteration in range(warmup + iters):
        for step, seconds in zip(steps, times):
            synchronize()
            start = time.perf_counter()
            step()
            synchronize()
            if iteration >= warmup:
                seconds.append(time.perf_counter() - start)
    return times


def resident_peak() -> int:
    """Return the highest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def measure_memory(config: str, args: argparse.Namespace,
                   work_dir: str) -> float:
    """Measure the peak memory of training; to be run in a new process.

    Args:
        config (str): Path of the config, or ``package::path``.
        args (Namespace): The arguments of the tool.
        work_dir (str): Folder for the logs.

    Returns:
        float: Megabytes: with a GPU the most that PyTorch had allocated on
        it; else by how much the resident memory has risen above its highest
        value after the imports.
    """
    import_module('mmpretrain.models')
    import_module('mmrazor.models')
    before = resident_peak()
    step = make_step(config, args, work_dir)
    for _ in range(MEMORY_STEPS):
        step()
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / MEGABYTE
    return (resident_peak() - before) / MEGABYTE


def in_new_process(function: Callable, *args: Any) -> Any:
    """Call a function in a process of its own."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(function, args)


def format_table(configs: List[str], times: List[List[float]],
                 memory: List[float]) -> str:
    """Write what was measured as a table.

    Args:
        configs (list[str]): The configs.
        times (list[list[float]]): Seconds of their steps.
        memory (list[float]): Their peak memory, in megabytes.

    Returns:
        str: The table. Ratios are to the first config, and those of times
        are taken turn by turn.
    """
    width = max(map(len, configs)) + 2
    lines = [
        f'{"config":{width}}{"step (ms)":>24}{"ratio":>22}{"memory (MB)":>14}'
        f'{"ratio":>8}'
    ]
    for config, seconds, megabytes in zip(configs, times, memory):
        step = Quartiles.of([1000 * value for value in seconds])
        ratio = Quartiles.of(
            [value / first for value, first in zip(seconds, times[0])])
        # A tiny network may need no more than the imports did.
        growth = f'{megabytes / memory[0]:.3f}' if memory[0] else '-'
        lines.append(f'{config:{width}}{step.format(2):>24}'
                     f'{ratio.format(3):>22}{megabytes:>14.1f}'
                     f'{growth:>8}')
    return '\n'.join(lines)


def parse_shape(text: str) -> Tuple[int, ...]:
    """Read "C,H,W"."""
    shape = tuple(int(number) for number in text.split(','))
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError
    return shape


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='config file, or package::path; the first is what the others '
        'are compared with')
    parser.add_argument(
        '--iters',
        type=int,
        default=100,
        help='measured steps of each config, at least 2 (default: 100)')
    parser.add_argument(
        '--warmup',
        type=int,
        default=10,
        help='steps of each config before those (default: 10)')
    parser.add_argument(
        '--batch-size',
        type=int,
        help='images in a batch (default: as the configs say)')
    parser.add_argument(
        '--synthetic',
        type=parse_shape,
        metavar='C,H,W',
        help='random images of this shape in place of the data sets')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as work_dir:
        memory = [
            in_new_process(measure_memory, config, args, work_dir)
            for config in args.configs
        ]
        steps = [make_step(config, args, work_dir) for config in args.configs]
        times = measure_times(steps, args.iters, args.warmup)
    device = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else
        f'CPU, {torch.get_num_threads()} threads')
    print(f'{args.iters} steps of each config, in turns, on: {device}. '
          'Median [quartiles].\n')
    print(format_table(args.configs, times, memory))
    print('\nMemory: ' + (
        'peak that PyTorch has allocated on the GPU.' if torch.cuda.
        is_available() else 'peak of the process above its imports.'))


if __name__ == '__main__':
    main()
