"""What the augmentations of batches share."""

from abc import ABCMeta, abstractmethod
from typing import Any, Optional

import torch
from torch import Tensor


class BaseBatchAugment(metaclass=ABCMeta):
    """Base class of augmentations that draw for each image of a batch.

    A subclass works on all images at once, on the device that they are on,
    without a loop over images and without a copy to the host. It keeps no
    state: what it draws, it draws from the generator that it is given.

    MMPretrain's own batch augmentations, such as Mixup, draw once per batch,
    and mix images that are normalised already. These work on raw images, for
    which 0 is black, in ``augments`` of
    :class:`~mmdskd.models.AugmentingDataPreprocessor`.
    """

    @abstractmethod
    def augment(
        self, inputs: Tensor, generator: Optional[torch.Generator] = None
    ) -> Tensor:
        """Augment images.

        Args:
            inputs (Tensor): Images, (N, C, H, W). They are not changed.
            generator (torch.Generator, optional): Where the draws come from.
                Defaults to None, for that of PyTorch.

        Returns:
            Tensor: New images, (N, C, H', W'), of the same type.
        """

    def per_image(self) -> Optional[dict]:
        """Name the transform that does the same to a single image.

        An exported student is trained further with it, without mmdskd.

        Returns:
            dict or None: Config of a transform of MMPretrain's pipelines, or
            None if there is none, which is the default.
        """
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse the place of MMPretrain's batch augmentations.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f'{type(self).__name__} augments images before they are '
            'normalised: it should be one of the "augments" of '
            'mmdskd.AugmentingDataPreprocessor, not of "batch_augments"'
        )
