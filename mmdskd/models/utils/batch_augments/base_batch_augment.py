from abc import ABCMeta, abstractmethod
from typing import Optional, Tuple

import torch
from torch import Tensor


class BaseBatchAugment(metaclass=ABCMeta):
    """Base class of augmentations that draw for each image of a batch.

    A subclass works on all images at once, on the device that they are on,
    without a loop over images and without a copy to the host. It keeps no
    state: what it draws, it draws from the generator that it is given.

    It has the interface of MMPretrain's batch augmentations, such as Mixup,
    which draw once per batch. In MMPretrain's ``batch_augments`` it would
    therefore run too, but on images that are normalised already, where 0 is
    not black; :class:`~mmdskd.models.AugmentingDataPreprocessor` calls it
    before that.
    """

    @abstractmethod
    def augment(self,
                inputs: Tensor,
                generator: Optional[torch.Generator] = None) -> Tensor:
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

    def __call__(
        self,
        batch_inputs: Tensor,
        batch_scores: Optional[Tensor] = None,
        generator: Optional[torch.Generator] = None
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Augment a batch.

        Args:
            batch_inputs (Tensor): Images, (N, C, H, W), of any type.
            batch_scores (Tensor, optional): Their scores, (N, K), which are
                passed through. Defaults to None.
            generator (torch.Generator, optional): Where the draws come from,
                on the device of the images. Defaults to None, for that of
                PyTorch.

        Returns:
            tuple[Tensor, Tensor or None]: New images, (N, C, H', W'), and
            ``batch_scores``.
        """
        return self.augment(batch_inputs, generator), batch_scores
