"""Augment batches on the device, before they are normalised."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmdskd.registry import MODELS
from mmdskd.utils.rules import INDEX, POSITIVE, Kind, ListOf, Number, optional
from mmdskd.utils.text import shorten
from mmdskd.utils.values import check_values

from .batch_augments import AugmentSequence, BaseBatchAugment


@MODELS.register_module()
class AugmentingDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's data preprocessor, which augments the batches before.

    In training, whole batches are augmented, on the device that they are
    trained on, each image by draws of its own. It is done on the pixels as
    they come, before the normalisation, so that padding is black, as in a
    pipeline of MMPretrain: (0 - mean) / std. All else is MMPretrain's:
    stacking, colour order, normalisation, and ``batch_augments`` such as
    Mixup, after that.

    The random numbers are part of the checkpoints, see
    :class:`~mmdskd.models.AugmentSequence`.

    Args:
        augments (Sequence[dict or BaseBatchAugment], optional): What is done
            to the batches, in this order. Defaults to None, for nothing.
        seed (int, optional): Seed of the random numbers, >= 0. Defaults to
            None, for that of the run.
        **kwargs: Arguments of :class:`mmpretrain.models.ClsDataPreprocessor`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If ``augments`` is empty, ``seed`` is negative, or a
            deviation is not positive.

    Examples:
        >>> import torch
        >>> from mmdskd.models import AugmentingDataPreprocessor
        >>> data_preprocessor = AugmentingDataPreprocessor(
        ...     augments=[
        ...         dict(type='mmdskd.BatchRandomCrop', crop_size=32,
        ...              padding=4),
        ...         dict(type='mmdskd.BatchRandomFlip', prob=0.5),
        ...     ],
        ...     mean=[129.3105, 124.1085, 112.404],
        ...     std=[68.2125, 65.4075, 70.4055],
        ...     num_classes=100)
        >>> images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
        >>> data = data_preprocessor(dict(inputs=images), training=True)
        >>> data['inputs'].shape, data['inputs'].dtype
        (torch.Size([8, 3, 32, 32]), torch.float32)
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        augments=optional(
            ListOf(Kind('a batch augmentation', (dict, BaseBatchAugment)))
        ),
        seed=optional(INDEX),
        mean=optional(ListOf(Number())),
        std=optional(ListOf(POSITIVE)),
    )

    def __init__(
        self,
        augments: Optional[Sequence[Union[dict, BaseBatchAugment]]] = None,
        seed: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        check_values(
            type(self).__name__,
            {name: self.VALUES[name] for name in ('mean', 'std')},
            kwargs,
        )
        super().__init__(**kwargs)
        self.augments = None
        if augments is not None:
            self.augments = AugmentSequence(augments, seed)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch for the model.

        Args:
            data (dict): ``inputs``, images as (N, C, H, W), or a list of
                (C, H, W), and ``data_samples``, a list of DataSample, or
                None. The images are not changed.
            training (bool): Whether to augment. Defaults to False.

        Returns:
            dict: ``inputs``, float of (N, C, H', W'), and ``data_samples``.

        Raises:
            ValueError: If there is something to augment, but the images are
                of different sizes.
        """
        data = dict(data)
        if training and self.augments is not None:
            inputs = self.cast_data(stack_images(data['inputs']))
            data['inputs'] = self.augments(inputs)
        samples = data.get('data_samples')
        if samples is None or not self._needs_labels_only(samples):
            return super().forward(data, training)
        # MMPretrain takes the labels out of the samples and puts them back,
        # which takes longer than all that is done to the images.
        del data['data_samples']
        data = super().forward(data, training)
        self._move_labels(samples)
        data['data_samples'] = samples
        return data

    def _needs_labels_only(self, samples: list) -> bool:
        """Whether the labels are as the model wants them, save the device."""
        # Like MMPretrain's, it looks at the first sample.
        return (
            not self.to_onehot
            and bool(samples)
            and isinstance(samples[0], DataSample)
            and 'gt_label' in samples[0]
            and 'gt_score' not in samples[0]
        )

    def _move_labels(self, samples: list[DataSample]) -> None:
        """Move the labels to the device of the images, in one go."""
        if samples[0].gt_label.device == self.device:
            return
        labels = [sample.gt_label for sample in samples]
        moved = torch.cat(labels).to(self.device, non_blocking=True)
        moved = moved.split([len(label) for label in labels])
        for sample, label in zip(samples, moved):
            sample.set_gt_label(label)


def stack_images(images: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    """Make one tensor of a batch of images.

    Args:
        images (Tensor or Sequence[Tensor]): (N, C, H, W), or N of (C, H, W).

    Returns:
        Tensor: (N, C, H, W).

    Raises:
        ValueError: If the images are of different shapes.
    """
    if isinstance(images, Tensor):
        return images
    shapes = sorted({str(tuple(image.shape)) for image in images})
    if len(shapes) > 1:
        raise ValueError(
            'The images of a batch should have the same shape to be augmented'
            f', but have {shorten(shapes)}. Let the pipeline resize '
            'or crop them, or augment them there.'
        )
    return torch.stack(list(images))
