"""Flip each image of a batch at random."""

from numbers import Real
from typing import Any, ClassVar, Optional

import torch
from torch import Tensor

from mmdskd.registry import BATCH_AUGMENTS
from mmdskd.utils.rules import SHARE

from .base_batch_augment import BaseBatchAugment


@BATCH_AUGMENTS.register_module()
class BatchRandomFlip(BaseBatchAugment):
    """Mirror each image of a batch, left to right, or leave it.

    Args:
        prob (float): Probability that an image is mirrored, 0 to 1. Defaults
            to 0.5.

    Raises:
        TypeError: If ``prob`` is not a number.
        ValueError: If it is out of its range.

    Examples:
        >>> import torch
        >>> from mmdskd.models import BatchRandomFlip
        >>> flip = BatchRandomFlip(prob=1.)
        >>> flip.augment(torch.tensor([[[[1, 2, 3]]]]))
        tensor([[[[3, 2, 1]]]])
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(prob=SHARE)

    def __init__(self, prob: float = 0.5) -> None:
        if not isinstance(prob, Real) or isinstance(prob, bool):
            raise TypeError(f'prob should be a number, but got {prob!r}.')
        if not 0 <= prob <= 1:
            raise ValueError(f'prob should be within 0 to 1, but got {prob}.')
        self.prob: float = prob

    def augment(
        self, inputs: Tensor, generator: Optional[torch.Generator] = None
    ) -> Tensor:
        """Mirror images.

        Args:
            inputs (Tensor): Images, (N, C, H, W). They are not changed.
            generator (torch.Generator, optional): Where the draws come from.
                Defaults to None.

        Returns:
            Tensor: Images of the same shape.
        """
        number = len(inputs)
        flipped = (
            torch.rand(number, generator=generator, device=inputs.device)
            < self.prob
        )
        # Whole images are copied, which is faster than a choice by pixel.
        both = torch.cat([inputs, inputs.flip(-1)])
        index = torch.arange(number, device=inputs.device)
        return both.index_select(0, index + number * flipped)

    def per_image(self) -> dict:
        """Name the transform that does the same to a single image.

        Returns:
            dict: Config of MMPretrain's ``RandomFlip``.
        """
        return dict(
            type='mmpretrain.RandomFlip',
            prob=self.prob,
            direction='horizontal',
        )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
