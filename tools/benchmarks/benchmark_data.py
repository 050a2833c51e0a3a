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
import sys

import torch
from mmengine.registry import init_default_scope

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.augmentation import OURS, make_functions, measure_augments
from mmdskd.analysis.data_path import (
    PER_IMAGE,
    SYNTHETIC_SIZE,
    make_paths,
    use_random_images,
)
from mmdskd.analysis.measure import (
    describe_device,
    format_speeds,
    measure_speeds,
)
from mmdskd.engine.checks.config_check import merge_options
from mmdskd.models import AugmentSequence
from mmdskd.utils.arguments import add_cfg_options, whole_number
from mmdskd.utils.checkpoint import CheckpointError
from mmdskd.utils.config import check_has, load_config
from mmdskd.utils.text import describe_error


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


def benchmark(args: argparse.Namespace) -> None:
    """Measure as the arguments say, and print what comes out.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    cfg = load_config(args.config)
    merge_options(cfg, args.cfg_options)
    check_has(cfg, args.config, 'train_dataloader', 'data_preprocessor')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    if args.synthetic is not None:
        use_random_images(cfg, args.synthetic)
    for device in args.devices:
        print(
            f'\n{args.config} on: {describe_device(device)}. {args.turns} '
            'turns, median [quartiles].'
        )
        paths = make_paths(cfg, args.workers, args.batches, device)
        times = measure_speeds(paths, args.turns, device)
        print(
            f'\nData path, {args.batches} batches of '
            f'{cfg.train_dataloader.batch_size} per turn, {args.workers} '
            f'workers:\n\n{format_speeds(times, PER_IMAGE)}'
        )
        if not args.augment_sizes:
            continue
        preprocessor = cfg.data_preprocessor
        functions, notes = make_functions(
            AugmentSequence(preprocessor.augments).augments
        )
        for size in args.augment_sizes:
            shape = (size, len(preprocessor.mean))
            times = measure_augments(
                functions, shape, args.repeats, args.turns, device
            )
            image = 'x'.join(map(str, (shape[1], *SYNTHETIC_SIZE)))
            print(
                f'\nAugmentation alone, batches of {size} random images of '
                f'{image}:\n\n{format_speeds(times, OURS)}'
            )
        print('\n' + ' '.join(notes))


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
