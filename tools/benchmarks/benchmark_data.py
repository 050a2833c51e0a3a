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
import copy
import statistics
import time
from typing import Callable, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from torch import Tensor, nn

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.models import (
    AugmentSequence,
    BaseBatchAugment,
    BatchRandomCrop,
    BatchRandomFlip,
)
from mmdskd.registry import DATASETS, MODELS
from mmdskd.utils.cli import add_cfg_options, load_config, whole_number
from mmdskd.utils.per_image import make_per_image

SEED = 0
SYNTHETIC_SIZE = (32, 32)
OURS = 'mmdskd'
PER_IMAGE = 'MMPretrain, image by image'
IN_BATCHES = 'mmdskd, in batches'


@DATASETS.register_module(force=True)
class RandomImages(BaseDataset):
    """Random images, for a data set that is not at hand.

    Args:
        length (int): Number of images.
        channels (int): 1 for images of (H, W), or 3 for (H, W, 3).
        num_classes (int): Number of classes.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`.
    """

    def __init__(
        self, length: int, channels: int, num_classes: int, **kwargs
    ) -> None:
        self.shape = (length, *SYNTHETIC_SIZE, channels)
        self.num_classes = num_classes
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        """Make the images."""
        random = np.random.RandomState(SEED)
        images = random.randint(0, 256, self.shape, dtype=np.uint8)
        labels = random.randint(0, self.num_classes, len(images))
        return [
            dict(img=image.squeeze(), gt_label=int(label))
            for image, label in zip(images, labels)
        ]


def use_random_images(cfg: Config, length: int) -> None:
    """Put random images into the place of the data set, in place.

    Args:
        cfg (Config): The config.
        length (int): Number of images.

    Raises:
        ValueError: If the data set is not one that is kept in memory.
    """
    preprocessor = cfg.data_preprocessor
    dataset = cfg.train_dataloader.dataset
    if 'dataset' not in dataset:
        raise ValueError(
            'CONFIG should have a mmdskd.InMemoryDataset for '
            f'training, but has {dataset.type}.'
        )
    dataset.dataset = dict(
        type='mmdskd.RandomImages',
        length=length,
        channels=len(preprocessor.mean),
        num_classes=preprocessor.num_classes,
        pipeline=dataset.dataset.pipeline,
    )


def make_path(
    preprocessor: dict,
    dataloader: dict,
    workers: int,
    batches: int,
    device: str,
) -> Callable[[], int]:
    """Build a data path.

    Args:
        preprocessor (dict): Config of the data preprocessor.
        dataloader (dict): Config of the data loader.
        workers (int): Number of processes that load.
        batches (int): Number of batches of a turn, at most: as many as
            there are.
        device (str): Device of the training.

    Returns:
        Callable: A function that makes the batches, and returns how many
        images they have.

    Raises:
        ValueError: If there are too few images for a batch.
    """
    module = MODELS.build(copy.deepcopy(preprocessor)).to(device)
    dataset = MMENGINE_DATASETS.build(dataloader['dataset'])
    batches = min(batches, len(dataset) // dataloader['batch_size'])
    if not batches:
        raise ValueError(
            f'The data set should have at least a batch of '
            f'{dataloader["batch_size"]} images, but has {len(dataset)}.'
        )
    loader = Runner.build_dataloader(
        dict(
            dataloader,
            dataset=dataset,
            num_workers=workers,
            persistent_workers=workers > 0,
            num_batch_per_epoch=batches,
        ),
        seed=SEED,
    )

    def run() -> int:
        return sum(
            len(module(batch, training=True)['inputs']) for batch in loader
        )

    return run


def make_paths(
    cfg: Config, args: argparse.Namespace, device: str
) -> dict[str, Callable[[], int]]:
    """Build both data paths of a config.

    Args:
        cfg (Config): The config.
        args (Namespace): The arguments of the tool.
        device (str): Device of the training.

    Returns:
        dict[str, Callable]: MMPretrain's and ours.

    Raises:
        ValueError: If there is but one.
    """
    cfg = cfg.to_dict()
    ours = (cfg.get('data_preprocessor'), cfg.get('train_dataloader'))
    theirs = make_per_image(*ours)
    if theirs is None:
        raise ValueError(
            'CONFIG should have a data_preprocessor of the type mmdskd.'
            'AugmentingDataPreprocessor whose augments MMPretrain has, too, '
            f'but has {ours[0]}.'
        )
    return {
        PER_IMAGE: make_path(*theirs, args.workers, args.batches, device),
        IN_BATCHES: make_path(*ours, args.workers, args.batches, device),
    }


def translate(
    augments: list[BaseBatchAugment], crop: Callable, flip: Callable
) -> Optional[list]:
    """Build the augmentations of another library.

    Args:
        augments (list[BaseBatchAugment]): Ours.
        crop (Callable): Makes a crop of size and padding.
        flip (Callable): Makes a flip of a probability.

    Returns:
        list or None: The others, or None if there are none.
    """
    others = []
    for augment in augments:
        if isinstance(augment, BatchRandomCrop):
            others.append(crop(augment.crop_size, augment.padding or None))
        elif isinstance(augment, BatchRandomFlip):
            others.append(flip(augment.prob))
        else:
            return None
    return others


def add_kornia(
    functions: dict[str, Callable[[Tensor], Tensor]],
    augments: list[BaseBatchAugment],
) -> str:
    """Add Kornia's augmentations, which draw for each image.

    Args:
        functions (dict[str, Callable]): Where to add them.
        augments (list[BaseBatchAugment]): Ours.

    Returns:
        str: The version, or why there is none.
    """
    try:
        import kornia
        from kornia.augmentation import RandomCrop, RandomHorizontalFlip
    except ImportError as error:
        return f'Kornia is not installed ({error}).'
    for mode in ('slice', 'resample'):
        modules = translate(
            augments,
            lambda size, padding: RandomCrop(
                size, padding, cropping_mode=mode
            ),
            lambda prob: RandomHorizontalFlip(p=prob),
        )
        if modules is None:
            return 'Kornia: no equivalent known.'
        functions[f'Kornia, cropping_mode="{mode}", float'] = _in_float(
            nn.Sequential(*modules)
        )
    return f'Kornia {kornia.__version__}.'


def _in_float(function: Callable[[Tensor], Tensor]) -> Callable:
    """Let a function have what it needs, as part of its cost."""
    return lambda images: function(images.float())


def add_torchvision(
    functions: dict[str, Callable[[Tensor], Tensor]],
    augments: list[BaseBatchAugment],
) -> str:
    """Add torchvision's augmentations, which draw once per call.

    Args:
        functions (dict[str, Callable]): Where to add them.
        augments (list[BaseBatchAugment]): Ours.

    Returns:
        str: The version, or why there is none.
    """
    try:
        import torchvision
        from torchvision.transforms import v2
    except ImportError as error:
        return f'torchvision has no v2 ({error}).'
    transforms = translate(
        augments,
        lambda size, padding: v2.RandomCrop(size, padding),
        v2.RandomHorizontalFlip,
    )
    if transforms is None:
        return 'torchvision: no equivalent known.'
    transform = v2.Compose(transforms)
    functions['torchvision v2, image by image, uint8'] = lambda images: (
        torch.stack([transform(image) for image in images])
    )
    return f'torchvision {torchvision.__version__}.'


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
