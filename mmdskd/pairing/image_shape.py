from collections.abc import Iterator, Sequence
from typing import Any, Optional

from mmengine.config import Config
from mmengine.utils import to_2tuple

from mmdskd.utils.config import type_name

# How transforms name the size of what they return.
SIZE_KEYS = {
    'RandomResizedCrop': 'scale',
    'EfficientNetRandomCrop': 'scale',
    'Resize': 'scale',
    'RandomCrop': 'crop_size',
    'CenterCrop': 'crop_size',
    'EfficientNetCenterCrop': 'crop_size',
    'BatchRandomCrop': 'crop_size',
}
# Data sets whose images are of one size.
DATASET_EDGES = {
    'CIFAR10': 32,
    'CIFAR100': 32,
    'MNIST': 28,
    'FashionMNIST': 28,
    'TinyImageNet': 64,
}


def find_image_shape(
    cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')
) -> Optional[tuple[int, int, int]]:
    """Find the shape of the images that a network gets, from its config.

    The data are not looked at: the size is that of the last crop or resize
    of the training, or else of the validation, or of a data set that is
    known; the channels are those of the mean that is subtracted, or else 3.

    Args:
        cfg (Config): Config of a training.
        splits (Sequence[str]): The data loaders to look at, the first one
            first. Defaults to ('train', 'val', 'test').

    Returns:
        tuple[int, int, int], optional: Channels, height and width, or None if
        the config does not tell.
    """
    model = cfg.get('model') or {}
    preprocessor = (
        model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    )
    channels = len(preprocessor.get('mean') or (0,) * 3)
    sizes: list[tuple[int, int]] = []
    for split in splits:
        if split == 'train':
            sizes += list(_sizes(preprocessor.get('augments')))
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        sizes += list(_dataset_sizes(dataset))
    return (channels, *sizes[0]) if sizes else None


def _dataset_sizes(dataset: Any) -> Iterator[tuple[int, int]]:
    """Sizes of the images of a data set, or of the one that it wraps."""
    if isinstance(dataset, (list, tuple)):
        dataset = dataset[0] if dataset else None
    if not isinstance(dataset, dict):
        return
    yield from _sizes(dataset.get('pipeline'))
    for key in ('dataset', 'datasets'):
        yield from _dataset_sizes(dataset.get(key))
    edge = DATASET_EDGES.get(type_name(dataset))
    if edge:
        yield edge, edge


def _sizes(transforms: Any) -> Iterator[tuple[int, int]]:
    """Sizes (height, width) that transforms make, the last one first."""
    for transform in reversed(transforms or []):
        key = SIZE_KEYS.get(type_name(transform))
        if key and transform.get(key) is not None:
            size = to_2tuple(transform[key])
            # A scale is width and height.
            yield size[::-1] if key == 'scale' else size
