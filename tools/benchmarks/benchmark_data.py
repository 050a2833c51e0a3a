"""Compare ways to feed a training: images per second.

For a config whose images are kept in memory and augmented as whole batches,
two kinds of tables are printed, in Markdown. The first compares its data path
with that of MMPretrain, which runs a pipeline for each image; both from the
data set to what the model gets, with samples, collation and data preprocessor.
The others compare the augmentation alone with Kornia's and torchvision's, as
far as they are installed. All take turns in one process, so what slows the
machine slows all of them; ratios are taken turn by turn. Without the data
set at hand, --synthetic puts random images of 32x32 pixels in its place.

    benchmark_data.py configs/_base_/datasets/cifar100_bs64.py --synthetic 3200
"""

import argparse
import statistics
import time
from typing import Callable

import torch
from mmengine.registry import init_default_scope
from torch import Tensor

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.data_path import (
    PER_IMAGE,
    SEED,
    SYNTHETIC_SIZE,
    add_kornia,
    add_torchvision,
    make_paths,
    use_random_images,
)
from mmdskd.cli import add_cfg_options, whole_number
from mmdskd.models import AugmentSequence, BaseBatchAugment
from mmdskd.utils.config import load_config

OURS = 'mmdskd'


def synchronize(device: str) -> None:
    """Wait until a device has done what it was given."""
    if device != 'cpu':
        torch.cuda.synchronize(device)


def measure(
    functions: dict[str, Callable[[], int]], turns: int, device: str
) -> dict[str, list[float]]:
    """Measure functions in turns, after one turn that does not count.

    Args:
        functions (dict[str, Callable]): They return a number of images.
        turns (int): How often each is measured.
        device (str): The device that they work on.

    Returns:
        dict[str, list[float]]: Seconds per image, in order of time.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(turns + 1):
        for name, function in functions.items():
            synchronize(device)
            start = time.perf_counter()
            images = function()
            synchronize(device)
            if turn:
                times[name].append((time.perf_counter() - start) / images)
    return times


def format_quartiles(values: list[float], digits: int) -> str:
    """Write values as "median [lower, upper quartile]"."""
    low, median, high = statistics.quantiles(values, n=4, method='inclusive')
    return f'{median:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]'


def format_table(times: dict[str, list[float]], first: str) -> str:
    """Write what was measured as a table.

    Args:
        times (dict[str, list[float]]): Seconds per image, by turns.
        first (str): The name of what the others are compared with.

    Returns:
        str: The table. A ratio tells how many times as fast it is.
    """
    lines = [
        '| | images/s | us/image | speed / that of the first |',
        '|-|-:|-:|-:|',
    ]
    for name in sorted(times, key=lambda name: name != first):
        seconds = times[name]
        ratios = [a / b for a, b in zip(times[first], seconds)]
        lines.append(
            f'| {name} | {format_quartiles([1 / s for s in seconds], 0)} | '
            f'{format_quartiles([1e6 * s for s in seconds], 1)} | '
            f'{format_quartiles(ratios, 2)} |'
        )
    return '\n'.join(lines)


def compare_augments(
    augments: list[BaseBatchAugment],
    sizes: list[int],
    args: argparse.Namespace,
    channels: int,
    device: str,
) -> None:
    """Measure and print the augmentation alone, for some batch sizes.

    Args:
        augments (list[BaseBatchAugment]): Ours.
        sizes (list[int]): Batch sizes.
        args (Namespace): The arguments of the tool.
        channels (int): Channels of the images.
        device (str): The device.
    """
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        f'{OURS}, uint8': AugmentSequence(augments, SEED)
    }
    notes = [add(functions, augments) for add in (add_kornia, add_torchvision)]
    for size in sizes:
        images = torch.randint(
            256,
            (size, channels, *SYNTHETIC_SIZE),
            dtype=torch.uint8,
            device=device,
        )

        def repeat(function: Callable[[Tensor], Tensor]) -> int:
            for _ in range(args.repeats):
                function(images)
            return args.repeats * size

        times = measure(
            {
                name: lambda function=function: repeat(function)
                for name, function in functions.items()
            },
            args.turns,
            device,
        )
        print(
            f'\nAugmentation alone, batches of {size} random images of '
            f'{channels}x{"x".join(map(str, SYNTHETIC_SIZE))}:\n'
        )
        print(format_table(times, f'{OURS}, uint8'))
    print('\n' + ' '.join(notes))


def parse_device(text: str) -> str:
    """Read the name of a device that is there."""
    try:
        torch.empty(0, device=text)
    # PyTorch built without CUDA raises an AssertionError.
    except (AssertionError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(
            f'{text!r} should be a device of this machine: {error}'
        ) from error
    return text


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'config',
        metavar='CONFIG',
        help='config file, or package::path, of a data set or of a training',
    )
    parser.add_argument(
        '--synthetic',
        type=whole_number(1),
        metavar='N',
        help='N random images of 32x32 pixels in place of the data set',
    )
    parser.add_argument(
        '--turns',
        type=whole_number(2),
        default=11,
        help='how often each is measured, at least 2 (default: 11)',
    )
    parser.add_argument(
        '--batches',
        type=whole_number(1),
        default=50,
        help='batches of a turn of a data path, at most as many as there '
        'are (default: 50)',
    )
    parser.add_argument(
        '--workers',
        type=whole_number(0),
        default=0,
        help='processes that load, for both data paths (default: 0, which is '
        'to compare them on the same cores)',
    )
    parser.add_argument(
        '--augment-sizes',
        type=whole_number(1),
        nargs='*',
        default=[64, 128, 256],
        metavar='SIZE',
        help='batch sizes for the augmentation alone (default: 64 128 256)',
    )
    parser.add_argument(
        '--repeats',
        type=whole_number(1),
        default=5,
        help='batches of a turn of the augmentation alone (default: 5)',
    )
    parser.add_argument(
        '--devices',
        type=parse_device,
        nargs='+',
        default=['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu'],
        metavar='DEVICE',
        help='devices of the training (default: cpu, and cuda if there is '
        'one)',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    if args.synthetic is not None:
        use_random_images(cfg, args.synthetic)
    for device in args.devices:
        where = (
            f'CPU, {torch.get_num_threads()} threads'
            if device == 'cpu'
            else torch.cuda.get_device_name(device)
        )
        print(
            f'\n{args.config} on: {where}. {args.turns} turns, median '
            '[quartiles].'
        )
        times = measure(make_paths(cfg, args, device), args.turns, device)
        print(
            f'\nData path, {args.batches} batches of '
            f'{cfg.train_dataloader.batch_size} per turn, {args.workers} '
            'workers:\n'
        )
        print(format_table(times, PER_IMAGE))
        if args.augment_sizes:
            preprocessor = cfg.data_preprocessor
            sequence = AugmentSequence(preprocessor.augments)
            compare_augments(
                sequence.augments,
                args.augment_sizes,
                args,
                len(preprocessor.mean),
                device,
            )


if __name__ == '__main__':
    main()
