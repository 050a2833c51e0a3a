"""Check the labels of data sets before they are trained on."""

from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import torch
from mmengine.runner import Runner
from mmpretrain.models import MultiLabelClsHead
from mmrazor.models.algorithms import SingleTeacherDistill
from torch import nn
from torch.utils.data import ConcatDataset, Subset

from mmdskd.datasets import InMemoryDataset
from mmdskd.models import FrozenTeacherDistill
from mmdskd.models.utils.num_classes import find_num_classes
from mmdskd.utils.model import unwrap_model

# Labels that are read before training: half a second.
MAX_READ = 50_000
IGNORED = -100  # by the cross-entropy of torch


class Classes(NamedTuple):
    """The classes of a network that computes a loss of the labels.

    Attributes:
        key (str): Where the config says how many there are.
        number (int): How many there are.
    """

    key: str
    number: int


def find_classes(model: nn.Module) -> Optional[Classes]:
    """Find the network of the fewest classes that gets the labels.

    Args:
        model (nn.Module): A network or an algorithm.

    Returns:
        Classes, optional: Its classes, or None if no network tells.
    """
    networks: dict[str, Any] = {
        'model': model,
        'model.architecture': getattr(model, 'architecture', None),
    }
    if isinstance(model, SingleTeacherDistill) and not isinstance(
        model, FrozenTeacherDistill
    ):
        networks['model.teacher'] = model.teacher
    found = [
        Classes(f'{key}.{_part(network)}num_classes', number)
        for key, network in networks.items()
        for number in [find_num_classes(network)]
        if isinstance(number, int)
    ]
    return min(found, key=lambda classes: classes.number, default=None)


def _part(network: Any) -> str:
    """The part of a network whose config has the number of classes."""
    head = getattr(network, 'head', None)
    return 'head.' if hasattr(head, 'num_classes') else ''


def check_labels(runner: Runner) -> Optional[Classes]:
    """Check that the labels of training and validation are classes.

    What a data set tells without reading its images is checked, up to
    ``MAX_READ`` labels of each.

    Args:
        runner (Runner): The runner. Its data loaders are built.

    Returns:
        Classes, optional: What the labels of each batch should be checked
        against, as not all could be read.

    Raises:
        ValueError: If a label is not a class of the network.
    """
    _warn_of_single_labels(runner)
    classes = find_classes(unwrap_model(runner.model))
    if classes is None:
        return None
    is_complete = True
    loops = {'train': runner.train_loop, 'val': runner.val_loop}
    for name, loop in loops.items():
        loader: Any = getattr(loop, 'dataloader', None)
        dataset = getattr(loader, 'dataset', None)
        if dataset is None:
            continue
        key = f'{name}_dataloader.dataset'
        read = find_reader(dataset)
        size = len(dataset) if hasattr(dataset, '__len__') else 0
        if read is None or not size:
            is_complete = False
            continue
        step = -(-size // MAX_READ)
        is_complete = is_complete and step == 1
        for index in range(0, size, step):
            for label in read(index):
                _check_label(
                    label, classes, f'{key} ({_name(dataset)})', index
                )
    return None if is_complete else classes


def _warn_of_single_labels(runner: Runner) -> None:
    """Warn of a head for several labels per image whose images have one."""
    model: Any = unwrap_model(runner.model)
    head = getattr(getattr(model, 'architecture', model), 'head', None)
    if not isinstance(head, MultiLabelClsHead):
        return
    dataset: Any = getattr(runner.train_loop.dataloader, 'dataset', None)
    inner: Any = dataset
    while hasattr(inner, 'dataset'):
        inner = inner.dataset
    has_one = isinstance(inner, InMemoryDataset)
    if not has_one and hasattr(inner, 'get_data_info') and len(inner):
        has_one = np.ndim(inner.get_data_info(0).get('gt_label', [])) == 0
    if has_one:
        runner.logger.warning(
            f'train_dataloader.dataset ({_name(dataset)}) has one label per '
            f'image, but {type(head).__name__} learns each class by itself, '
            'for several: LinearClsHead is the head for that, unless it is '
            'meant.'
        )


def check_batch_labels(data_batch: Any, classes: Classes) -> None:
    """Check the labels of a batch on the host.

    Args:
        data_batch (dict): A batch of the data loader.
        classes (Classes): What they should be.

    Raises:
        ValueError: If a label is not a class of the network.
    """
    samples = (
        data_batch.get('data_samples')
        if isinstance(data_batch, dict)
        else None
    )
    if not isinstance(samples, (list, tuple)):
        return
    labels = [getattr(sample, 'gt_label', None) for sample in samples]
    given = [label for label in labels if isinstance(label, torch.Tensor)]
    if not given or given[0].is_cuda:
        return
    every = torch.cat([label.reshape(-1) for label in given])
    if every.is_floating_point() or (
        every.numel() and every.min() >= 0 and every.max() < classes.number
    ):
        return
    for index, (sample, label) in enumerate(zip(samples, labels)):
        for value in [] if label is None else label.reshape(-1).tolist():
            _check_label(
                value,
                classes,
                'train_dataloader.dataset',
                getattr(sample, 'sample_idx', index),
            )


def _check_label(label: Any, classes: Classes, where: str, index: Any) -> None:
    """Raise unless a label is a class."""
    is_whole = float(label) == int(label)
    if is_whole and (0 <= label < classes.number or label == IGNORED):
        return
    raise ValueError(
        f'The labels of {where} should be in 0 to {classes.number - 1}, as '
        f'{classes.key} is {classes.number}, but image {index} has label '
        f'{label}'
    )


def find_reader(dataset: Any) -> Optional[Callable[[int], Iterator]]:
    """Find how a data set tells a label without reading the image.

    Args:
        dataset (Dataset): The data set.

    Returns:
        Callable, optional: Takes the position of an image, and gives its
        labels, none if it has none. None if there is no such way.
    """
    if isinstance(dataset, InMemoryDataset):
        labels = dataset.get_gt_labels()
        return lambda index: iter(labels[index : index + 1])
    if isinstance(dataset, Subset):
        return _compose(dataset.dataset, dataset.indices)
    if isinstance(dataset, ConcatDataset):
        return _join(dataset)
    if hasattr(dataset, 'get_data_info'):
        return lambda index: _flatten(
            dataset.get_data_info(index).get('gt_label')
        )
    if hasattr(dataset, 'get_cat_ids'):
        return lambda index: _flatten(dataset.get_cat_ids(index))
    return None


def _compose(
    dataset: Any, indices: Sequence[int]
) -> Optional[Callable[[int], Iterator]]:
    read = find_reader(dataset)
    return None if read is None else lambda index: read(indices[index])


def _join(dataset: ConcatDataset) -> Optional[Callable[[int], Iterator]]:
    readers = [find_reader(part) for part in dataset.datasets]
    ends = dataset.cumulative_sizes
    if None in readers:
        return None

    def read(index: int) -> Iterator:
        part = int(np.searchsorted(ends, index, side='right'))
        start = ends[part - 1] if part else 0
        reader: Any = readers[part]
        return reader(index - start)

    return read


def _flatten(labels: Any) -> Iterator:
    """Numbers among the labels of an image."""
    if labels is None:
        return iter(())
    values = np.asarray(labels).reshape(-1)
    return iter(values if values.dtype.kind in 'iuf' else ())


def _name(dataset: Any) -> str:
    """Class of a data set, of that within a wrapper as well."""
    inner = getattr(dataset, 'dataset', None)
    name = type(dataset).__name__
    return name if inner is None else f'{name} of {_name(inner)}'
