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
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.measure import describe_device, measure_times
from mmdskd.analysis.step_comparison import (
    build_loops,
    format_costs,
    format_losses,
    measure_losses,
)
from mmdskd.analysis.step_memory import measure_memory
from mmdskd.engine.checks.config_check import merge_options
from mmdskd.utils import resolve_auto
from mmdskd.utils.arguments import (
    add_cfg_options,
    parse_options,
    parse_shape,
    whole_number,
)
from mmdskd.utils.checkpoint import CheckpointError
from mmdskd.utils.config import check_has, load_config
from mmdskd.utils.text import describe_error


class Entry(NamedTuple):
    """A config to measure.

    Attributes:
        text (str): How it was given.
        config (str): Its path, or ``package::path``.
        options (dict): The settings that it overrides.
    """

    text: str
    config: str
    options: dict[str, Any]


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
    try:
        config, *options = shlex.split(text) or ['']
        if not config or '=' in config:
            raise ValueError(f'{config!r} is no path')
        for option in options:
            if '=' not in option:
                raise ValueError(f'{option!r} is no KEY=VALUE')
        settings = parse_options(options) if options else {}
    except (AssertionError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            'CONFIG should be a path, or a quoted "path KEY=VALUE ...", but '
            f'got {text!r}: {error}'
        ) from error
    return Entry(text, config, settings)


def load(entry: Entry, args: argparse.Namespace) -> Config:
    """Load a config with the options of all, and then its own.

    Args:
        entry (Entry): The config.
        args (Namespace): Values of :func:`parse_args`.

    Returns:
        Config: The config, without "auto".
    """
    cfg = load_config(entry.config)
    merge_options(cfg, args.cfg_options)
    check_has(cfg, entry.config, 'model', 'train_dataloader')
    if args.batch_size is not None:
        cfg.train_dataloader.batch_size = args.batch_size
    merge_options(cfg, entry.options)
    return resolve_auto(cfg, args.synthetic)


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


def benchmark(args: argparse.Namespace) -> None:
    """Measure as the arguments say, and print what comes out.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    # The profiler tells on stderr that there is no GPU.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    with tempfile.TemporaryDirectory() as folder:
        configs = {
            f'{number}. {Path(entry.config).stem}': load(entry, args)
            for number, entry in enumerate(args.configs, 1)
        }
        loops = build_loops(
            configs, folder, args.synthetic, args.losses or 1, args.plain_loop
        )
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
    where = f'{describe_device()}, torch {torch.__version__}'
    print(f'\n{title}. On {where}.\n\n{table}')


def main() -> None:
    try:
        benchmark(parse_args())
    except (
        CheckpointError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
