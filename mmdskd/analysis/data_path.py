import argparse
import copy
from typing import Callable, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from torch import Tensor, nn

from mmdskd.datasets.per_image import make_per_image
from mmdskd.models import BaseBatchAugment, BatchRandomCrop, BatchRandomFlip
from mmdskd.registry import DATASETS, MODELS

SEED = 0


SYNTHETIC_SIZE = (32, 32)


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
