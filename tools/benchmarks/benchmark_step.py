"""Compare the training steps of configs: time and peak memory, or losses.

A step is all that MMEngine does for an iteration but loading its batch:
preprocessing, forward, backward, optimizer and hooks, that of DSKD included.
The configs take turns in one process, so that whatever slows the machine slows
all of them. Ratios and differences are to the first row. Tables are in
Markdown.

A config may bring options of its own, in quotes, after its path:

    benchmark_step.py configs/kd/x.py \\
        "configs/kd/x.py model.type=mmrazor.SingleTeacherDistill"

All start from the same weights, where their parameters have the same names and
shapes, and see the same batches. Teachers have random weights, but statistics
of their batch norms and a scale of their logits as if they were trained.
"""

import argparse
import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.runner import set_random_seed

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.measure import Quartiles, describe_machine, measure_times
from mmdskd.analysis.plain_loop import Loop, PlainLoop, find_kd_weights
from mmdskd.analysis.step_memory import measure_memory
from mmdskd.analysis.training_step import (
    SEED,
    Builder,
    Entry,
    check_image_size,
    prepare_config,
)
from mmdskd.cli import add_cfg_options, parse_shape, whole_number
from mmdskd.utils.text import format_table


def parse_entry(text: str) -> Entry:
    """Read a config with its options.

    Args:
        text (str): "CONFIG [KEY=VALUE ...]", with the quoting of a shell.
            The values are those of ``--cfg-options``.

    Returns:
        Entry: The config.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    try:
        config, *options = shlex.split(text) or ['']
        if not config or '=' in config:
            raise ValueError(f'{config!r} is no path')
        for option in options:
            if '=' not in option:
                raise ValueError(f'{option!r} is no KEY=VALUE')
        args = parser.parse_args(options and ['--cfg-options', *options])
    except (AssertionError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            'CONFIG should be a path, or a quoted "path KEY=VALUE ...", but '
            f'got {text!r}: {error}'
        ) from error
    return Entry(text, config, args.cfg_options or {})


def build_loops(args: argparse.Namespace, folder: str) -> dict[str, Loop]:
    """Build all that is measured.

    Args:
        args (Namespace): The arguments of the tool.
        folder (str): Folder for logs and teachers.

    Returns:
        dict[str, Loop]: The loops by their labels.
    """
    configs = [prepare_config(entry, args) for entry in args.configs]
    if args.plain_loop:
        find_kd_weights(configs[0])  # raises before all that takes time
    builder = Builder(folder)
    built = [builder.build(cfg) for cfg in configs]
    if args.synthetic is not None:
        for loop, entry in zip(built, args.configs):
            check_image_size(loop, entry, args.synthetic)
    loops: dict[str, Loop] = {}
    if args.plain_loop:
        loops['plain loop'] = PlainLoop(
            configs[0],
            built[0],
            builder.weights,
            builder.make_teacher(configs[0]),
        )
    for number, (entry, loop) in enumerate(zip(args.configs, built), 1):
        loops[f'{number}. {Path(entry.config).stem}'] = loop
    return loops


def measure_losses(loops: list[Loop], count: int) -> list[list[float]]:
    """Run the first steps of loops with equal random numbers.

    Args:
        loops (list[Loop]): The loops.
        count (int): How many steps each is run.

    Returns:
        list[list[float]]: The total losses of each loop.
    """
    losses: list[list[float]] = [[] for _ in loops]
    for iteration in range(count):
        for loop, values in zip(loops, losses):
            set_random_seed(SEED + iteration)
            loop.step()
            values.append(loop.loss)
    return losses


def format_costs(
    labels: Sequence[str], times: list[list[float]], memory: list[float]
) -> str:
    """Write time and memory as a table.

    Args:
        labels (Sequence[str]): Labels of the rows.
        times (list[list[float]]): Seconds of their steps.
        memory (list[float]): Their peak memory, in megabytes.

    Returns:
        str: The table. Ratios are to the first row, and those of times are
        taken turn by turn.
    """
    rows = []
    for label, seconds, megabytes in zip(labels, times, memory):
        step = Quartiles.of([1000 * value for value in seconds])
        ratio = Quartiles.of(
            [value / first for value, first in zip(seconds, times[0])]
        )
        rows.append(
            (
                label,
                step.format(2),
                ratio.format(3),
                f'{megabytes:.1f}',
                f'{megabytes / memory[0]:.3f}',
            )
        )
    return format_table(
        ('', 'step (ms)', 'ratio', 'peak memory (MB)', 'ratio'), rows
    )


def relative_difference(values: list[float], others: list[float]) -> float:
    """Compute the largest relative difference of values, NaN included.

    Args:
        values (list[float]): The values.
        others (list[float]): As many, to which the differences are.

    Returns:
        float: The largest of |value - other| / |other|.
    """
    others = np.asarray(others)
    return float(np.max(np.abs(values - others) / np.abs(others)))


def format_losses(labels: Sequence[str], losses: list[list[float]]) -> str:
    """Write losses as a table.

    Args:
        labels (Sequence[str]): Labels of the rows.
        losses (list[list[float]]): Their total losses, by iteration.

    Returns:
        str: The table, with the differences to the first row.
    """
    numbers = [str(number) for number in range(1, len(losses[0]) + 1)]
    rows = [
        (
            label,
            *(f'{value:.7g}' for value in values),
            f'{relative_difference(values, losses[0]):.1e}',
        )
        for label, values in zip(labels, losses)
    ]
    return format_table(
        ('loss of iteration', *numbers, 'largest relative difference'), rows
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'configs',
        nargs='+',
        type=parse_entry,
        metavar='CONFIG',
        help='config file, or package::path; in quotes, followed by options '
        'of its own: "CONFIG KEY=VALUE ..."',
    )
    parser.add_argument(
        '--plain-loop',
        action='store_true',
        help='compare with a loop in plain PyTorch, the same as the first '
        'config, which should be one of logits KD',
    )
    parser.add_argument(
        '--losses',
        type=whole_number(1),
        metavar='N',
        help='compare the losses of the first N iterations, in place of time '
        'and memory',
    )
    parser.add_argument(
        '--iters',
        type=whole_number(2),
        default=100,
        help='measured steps of each config, at least 2 (default: 100)',
    )
    parser.add_argument(
        '--warmup',
        type=whole_number(0),
        default=10,
        help='steps of each config before those (default: 10)',
    )
    parser.add_argument(
        '--batch-size',
        type=whole_number(1),
        help='images in a batch (default: as the configs say)',
    )
    parser.add_argument(
        '--synthetic',
        type=parse_shape,
        metavar='C,H,W',
        help='random images of this shape in place of the data sets',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    # The profiler tells on stderr that there is no GPU.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loops = build_loops(args, folder)
        if args.losses is None:
            memory = [measure_memory(loop) for loop in loops.values()]
            times = measure_times(
                [loop.step for loop in loops.values()], args.iters, args.warmup
            )
            title = f'{args.iters} steps of each in turns, median [quartiles]'
            table = format_costs(list(loops), times, memory)
        else:
            losses = measure_losses(list(loops.values()), args.losses)
            title = 'Total losses, from equal weights on equal batches'
            table = format_losses(list(loops), losses)
    for number, entry in enumerate(args.configs, 1):
        print(f'{number}. {entry.text}')
    print(f'\n{title}. On {describe_machine()}.\n\n{table}')


if __name__ == '__main__':
    main()
