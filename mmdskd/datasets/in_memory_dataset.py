"""Data sets whose images stay in memory."""

import copy
from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import torch
from mmengine.dataset import force_full_init
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import Dataset

from mmdskd.registry import DATASETS
from mmdskd.utils.random_state import get_random_state, is_random_state

from .collate_batch import Batch
from .packed_sample import read_sample


@DATASETS.register_module()
class InMemoryDataset(Dataset):
    """Keeps the images of a data set in memory, as they leave its pipeline.

    The pipeline is run once for each image, and after that a whole batch is
    gathered at once, for ``collate_fn=dict(type='mmdskd.collate_batch')``.
    Within another wrapper, such as ``RepeatDataset``, images are gathered one
    by one, which is slower: let it be the wrapped one instead.

    This is for small images, of one size. The data set that is wrapped stays
    in memory, too. Transforms without random numbers are for it: what draws
    from the generators of Python, NumPy or PyTorch would be the same in each
    epoch, so it is refused. It belongs into the
    :class:`~mmdskd.models.AugmentingDataPreprocessor`, or into a pipeline
    that is run for each image, without this wrapper.

    A sample has ``inputs``, a uint8 tensor of (C, H, W), and ``data_samples``,
    with ``gt_label`` and ``sample_idx``. Other meta information of the
    pipeline is not kept.

    Args:
        dataset (dict or BaseDataset): The data set, with a pipeline that ends
            with ``PackInputs``.
        lazy_init (bool): Whether to leave the images until they are asked
            for, or :meth:`full_init` is called. Defaults to False.
        **kwargs: None. Arguments of the data set, such as ``data_root`` and
            ``pipeline``, belong into ``dataset``.

    Raises:
        TypeError: If ``dataset`` is not a data set of MMEngine, its pipeline
            doesn't make packed samples of uint8 images, or there are other
            arguments.
        ValueError: If the pipeline draws random numbers, if the images are
            of different shapes, or if a sample is not of one label.

    Examples:
        >>> train_dataloader = dict(
        ...     batch_size=64,
        ...     num_workers=0,
        ...     collate_fn=dict(type='mmdskd.collate_batch'),
        ...     dataset=dict(
        ...         type='mmdskd.InMemoryDataset',
        ...         dataset=dict(
        ...             type='mmdskd.CIFAR100',
        ...             data_root='data/cifar100',
        ...             split='train',
        ...             pipeline=[dict(type='PackInputs')])),
        ...     sampler=dict(type='DefaultSampler', shuffle=True))

        In a loop of one's own:

        >>> from mmdskd.datasets import Digits, InMemoryDataset, collate_batch
        >>> from torch.utils.data import DataLoader
        >>> pipeline = [dict(type='mmpretrain.PackInputs')]
        >>> images = InMemoryDataset(
        ...     Digits(split='train', pipeline=pipeline))
        >>> loader = DataLoader(
        ...     images, batch_size=64, shuffle=True, collate_fn=collate_batch)
        >>> batch = next(iter(loader))
        >>> batch['inputs'].shape, len(batch['data_samples'])
        (torch.Size([64, 1, 8, 8]), 64)
    """

    def __init__(
        self,
        dataset: Union[dict, Dataset],
        lazy_init: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise TypeError(
                'InMemoryDataset takes dataset and lazy_init, but got '
                f'{", ".join(kwargs)}: arguments of the data set belong into '
                'its own "dataset", as train_dataloader.dataset.dataset.'
                f'{next(iter(kwargs))}.'
            )
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if not (
            hasattr(dataset, 'full_init') and hasattr(dataset, 'metainfo')
        ):
            raise TypeError(
                'dataset should be the config of a data set, or a BaseDataset'
                f' of MMEngine or one of its wrappers, but got {dataset!r}.'
            )
        self.dataset: Any = dataset
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Run the pipeline for all images, and keep what comes out."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        if not len(self.dataset):
            raise ValueError(
                f'dataset should hold images, but {self.dataset} is empty.'
            )
        before = get_random_state()
        gt_labels, sample_indices = [], []
        for index in range(len(self.dataset)):
            image, gt_label, sample_idx = read_sample(
                self.dataset[index], index
            )
            if index == 0:
                self.images = image.new_empty(
                    (len(self.dataset), *image.shape)
                )
            elif image.shape != self.images.shape[1:]:
                raise ValueError(
                    'The images should have the same shape, as by a Resize in'
                    f' the pipeline, but that of image {index} is '
                    f'{tuple(image.shape)}, and of those before '
                    f'{tuple(self.images.shape[1:])}.'
                )
            self.images[index] = image
            gt_labels.append(gt_label)
            sample_indices.append(sample_idx)
        if not is_random_state(before):
            raise ValueError(
                'The pipeline should draw no random numbers, as it is run '
                'only once for each image, but it does. Move the random '
                'transforms to the "augments" of '
                'mmdskd.AugmentingDataPreprocessor, or use the data set '
                f'without InMemoryDataset. The pipeline: '
                f'{getattr(self.dataset, "pipeline", self.dataset)}'
            )
        self.gt_labels = torch.tensor(gt_labels)
        self.sample_indices = sample_indices
        self.positions = list(range(len(gt_labels)))
        self._fully_initialized = True

    @force_full_init
    def __getitems__(self, indices: Sequence[int]) -> dict:
        """Gather a batch.

        Args:
            indices (Sequence[int]): Positions of N images, from 0 on.

        Returns:
            dict: ``inputs``, uint8 of (N, C, H, W), and ``data_samples``, a
            list of N DataSample.
        """
        index = torch.as_tensor(indices)
        gt_labels = self.gt_labels.index_select(0, index)
        return Batch(
            inputs=self.images.index_select(0, index),
            data_samples=[
                _make_sample(*pair)
                for pair in zip(
                    gt_labels.split(1),
                    [self.sample_indices[i] for i in indices],
                )
            ],
        )

    def __getitem__(self, index: int) -> dict:
        """Get one sample.

        Args:
            index (int): Position of the image; from the end if negative.

        Returns:
            dict: ``inputs``, uint8 of (C, H, W), and ``data_samples``, a
            DataSample.

        Raises:
            IndexError: If there is no such image.
        """
        batch = self.__getitems__([range(len(self))[index]])
        return {key: value[0] for key, value in batch.items()}

    @force_full_init
    def __len__(self) -> int:
        return len(self.gt_labels)

    @property
    def metainfo(self) -> dict:
        """dict: Meta information of the data set."""
        return self.dataset.metainfo

    @property
    def CLASSES(self) -> Any:
        """tuple[str] or None: Names of the classes."""
        return self.metainfo.get('classes')

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Get what the data set tells of an image, before the pipeline.

        Args:
            idx (int): Position of the image.

        Returns:
            dict: Such as ``gt_label``, and ``img`` or ``img_path``.
        """
        return self.dataset.get_data_info(self.positions[idx])

    @force_full_init
    def get_subset(
        self, indices: Union[int, Sequence[int]]
    ) -> 'InMemoryDataset':
        """Get a part of the data set, as ``KFoldDataset`` asks for.

        Args:
            indices (int or Sequence[int]): Positions of its images, or how
                many of the first, or if negative, of the last ones.

        Returns:
            InMemoryDataset: The part, with its own copy of the images, which
            are counted anew.
        """
        if isinstance(indices, int):
            everything = range(len(self))
            indices = (
                everything[:indices] if indices >= 0 else everything[indices:]
            )
        part = copy.copy(self)
        index = torch.as_tensor(list(indices), dtype=torch.int64)
        part.images = self.images[index]
        part.gt_labels = self.gt_labels[index]
        part.positions = [self.positions[i] for i in indices]
        part.sample_indices = list(range(len(index)))
        return part

    def get_subset_(self, indices: Union[int, Sequence[int]]) -> None:
        """Keep a part of the data set alone, see :meth:`get_subset`.

        Args:
            indices (int or Sequence[int]): See :meth:`get_subset`.
        """
        vars(self).update(vars(self.get_subset(indices)))

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Get the labels of all images.

        Returns:
            np.ndarray: Labels, int64 of (M,).
        """
        return self.gt_labels.numpy().copy()

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Get the categories of an image, for samplers and wrappers.

        Args:
            idx (int): Position of the image.

        Returns:
            list[int]: Its label.
        """
        return [int(self.gt_labels[idx])]

    def __repr__(self) -> str:
        return f'{type(self).__name__}, in memory:\n{self.dataset}'


def _make_sample(gt_label: Tensor, sample_idx: int) -> DataSample:
    """Make a sample, with the fields set as quickly as they can be."""
    sample = DataSample()
    sample.set_field(gt_label, 'gt_label', dtype=Tensor)
    sample.set_field(sample_idx, 'sample_idx', field_type='metainfo')
    return sample
