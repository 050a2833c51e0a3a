"""A few images of a run, for networks that are compared."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, IterableDataset

from mmdskd.utils.config import find_class
from mmdskd.utils.random_state import keep_random_state

NUM_IMAGES = 4
SPLITS = ('val_dataloader', 'test_dataloader', 'train_dataloader')


def take_images(
    dataloader: DataLoader, number: int = NUM_IMAGES
) -> Optional[Any]:
    """Take the first images of a data loader, outside of its order.

    Neither its workers nor the random numbers of the training are used.

    Args:
        dataloader (DataLoader): The data loader.
        number (int): How many images, >= 1. Defaults to 4.

    Returns:
        Any: A batch as the data loader gives it, or None for a data set
        that gives no image by its index.
    """
    dataset = dataloader.dataset
    if isinstance(dataset, IterableDataset) or not len(dataset):  # type: ignore[arg-type]
        return None
    indices = list(range(min(number, len(dataset))))  # type: ignore[arg-type]
    with keep_random_state():
        return dataloader.collate_fn(read_samples(dataset, indices))


def read_samples(dataset: Any, indices: list[int]) -> Any:
    """Read samples as a data loader does.

    Args:
        dataset (Dataset): A data set with images by their index.
        indices (list[int]): The indices.

    Returns:
        Any: What ``collate_fn`` of a data loader gets.
    """
    if hasattr(dataset, '__getitems__'):
        return dataset.__getitems__(indices)
    return [dataset[index] for index in indices]


def take_run_images(runner: Runner) -> Optional[Any]:
    """Take the first images that a run validates on, or else trains on.

    Args:
        runner (Runner): The runner of the training process.

    Returns:
        Any: See :func:`take_images`, or None, with a warning in the log, if
        the data give none.
    """
    reason = 'its data set gives no image by its index'
    for loop in (runner.val_loop, runner.train_loop):
        dataloader = getattr(loop, 'dataloader', None)
        if not isinstance(dataloader, DataLoader):
            continue
        try:
            images = take_images(dataloader)
        # Images are read in the training as well, but by its workers.
        except Exception as error:
            reason = repr(error)
        else:
            if images is not None:
                return images
    runner.logger.warning(
        'Exported students are compared with those of the run by their '
        f'weights, not by their logits: {reason}.'
    )
    return None


def build_images(
    cfg: Config, number: int = NUM_IMAGES, splits: Sequence[str] = SPLITS
) -> Optional[Any]:
    """Take the first images of the data of a config. Nothing is downloaded.

    Args:
        cfg (Config): Config of a run. It is not changed.
        number (int): How many images, >= 1. Defaults to 4.
        splits (Sequence[str]): Names of data loaders in the config, of which
            the first that is there serves. Defaults to validation, test and
            training, in this order.

    Returns:
        Any: See :func:`take_images`, or None for a config without data.
    """
    for split in splits:
        if cfg.get(split):
            break
    else:
        return None
    dataloader = copy.deepcopy(cfg[split].to_dict())
    _forbid_downloads(
        dataloader.get('dataset'), cfg.get('default_scope', 'mmengine')
    )
    for name in ('persistent_workers', 'prefetch_factor'):
        dataloader.pop(name, None)
    with keep_random_state():
        return take_images(
            Runner.build_dataloader(dict(dataloader, num_workers=0)), number
        )


def _forbid_downloads(dataset: Any, scope: str) -> None:
    """Let data sets in a config download nothing, in place."""
    if isinstance(dataset, (list, tuple)):
        for item in dataset:
            _forbid_downloads(item, scope)
    if not isinstance(dataset, dict):
        return
    kind = find_class(DATASETS, dataset, scope) if 'type' in dataset else None
    if kind and 'download' in inspect.signature(kind).parameters:
        dataset['download'] = False
    for key in ('dataset', 'datasets'):
        _forbid_downloads(dataset.get(key), scope)
