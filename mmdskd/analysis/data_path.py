"""Ways from a data set to what the model gets, to be compared."""

import copy
from typing import Any, Callable

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset

from mmdskd.datasets.per_image import make_per_image
from mmdskd.registry import DATASETS, MODELS

SEED = 0
SYNTHETIC_SIZE = (32, 32)  # height and width
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
        self, length: int, channels: int, num_classes: int, **kwargs: Any
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
    cfg: Config, workers: int, batches: int, device: str
) -> dict[str, Callable[[], int]]:
    """Build both data paths of a config.

    Args:
        cfg (Config): The config.
        workers (int): Number of processes that load.
        batches (int): Number of batches of a turn, at most.
        device (str): Device of the training.

    Returns:
        dict[str, Callable]: MMPretrain's and ours.

    Raises:
        ValueError: If there is only one.
    """
    settings = cfg.to_dict()
    ours = (settings['data_preprocessor'], settings['train_dataloader'])
    theirs = make_per_image(*ours)
    if theirs is None:
        raise ValueError(
            'CONFIG should have a data_preprocessor of the type mmdskd.'
            'AugmentingDataPreprocessor whose augments MMPretrain has, too, '
            f'but has {ours[0]}.'
        )
    return {
        PER_IMAGE: make_path(*theirs, workers, batches, device),
        IN_BATCHES: make_path(*ours, workers, batches, device),
    }
