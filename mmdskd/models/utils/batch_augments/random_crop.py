"""Crop each image of a batch at random."""

from collections.abc import Sequence
from typing import Any, ClassVar, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdskd.registry import BATCH_AUGMENTS
from mmdskd.utils.rules import COUNT, INDEX, AnyOf, ListOf

from .base_batch_augment import BaseBatchAugment


@BATCH_AUGMENTS.register_module()
class BatchRandomCrop(BaseBatchAugment):
    """Crop each image of a batch at a place of its own.

    All places at which the crop fits into the padded image are equally
    likely, as with MMPretrain's ``RandomCrop``, whose pixels it also gives.
    The padding is 0.

    Args:
        crop_size (int or tuple[int, int]): Height and width of the crop, in
            pixels, > 0.
        padding (int): Pixels that are added to each border before, >= 0.
            Defaults to 0.

    Raises:
        TypeError: If an argument is not a whole number.
        ValueError: If an argument is out of its range.

    Examples:
        >>> import torch
        >>> from mmdskd.models import BatchRandomCrop
        >>> crop = BatchRandomCrop(crop_size=32, padding=4)
        >>> crop.augment(torch.rand(8, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        crop_size=AnyOf((COUNT, ListOf(COUNT, length=2))), padding=INDEX
    )

    def __init__(
        self, crop_size: Union[int, Sequence[int]], padding: int = 0
    ) -> None:
        pair: Sequence[int]
        if isinstance(crop_size, (tuple, list)):
            pair = crop_size
        else:
            pair = (crop_size, crop_size)  # type: ignore[assignment]
        if not all(map(_is_int, (*pair, padding))):
            raise TypeError(
                'crop_size should be an int or two, and padding an int, but '
                f'got crop_size={crop_size!r}, padding={padding!r}.'
            )
        if len(pair) != 2 or min(pair) < 1 or padding < 0:
            raise ValueError(
                'crop_size should be > 0, for height and width alike or one '
                'for each, and padding >= 0, but got '
                f'crop_size={crop_size!r}, padding={padding!r}.'
            )
        self.crop_size = tuple(pair)
        self.padding = padding

    def augment(
        self, inputs: Tensor, generator: Optional[torch.Generator] = None
    ) -> Tensor:
        """Crop images.

        Args:
            inputs (Tensor): Images, (N, C, H, W). They are not changed.
            generator (torch.Generator, optional): Where the draws come from.
                Defaults to None.

        Returns:
            Tensor: Crops, (N, C, *crop_size).

        Raises:
            ValueError: If the padded images are smaller than the crops.
        """
        padded = F.pad(inputs, [self.padding] * 4).contiguous()
        number, channels, height, width = padded.shape
        crop_height, crop_width = self.crop_size
        if crop_height > height or crop_width > width:
            raise ValueError(
                f'crop_size should be at most the size of the padded images, '
                f'{(height, width)} with padding={self.padding}, but is '
                f'{self.crop_size}.'
            )

        def draw(stop: int) -> Tensor:
            return torch.randint(
                stop, (number,), generator=generator, device=padded.device
            )

        top = draw(height - crop_height + 1)
        left = draw(width - crop_width + 1)
        # An overlapping view of all windows of the crop's shape, by the
        # position of their first pixel in memory: selecting from it copies
        # row by row, several times as fast as indexing pixel by pixel.
        image, channel, row, column = padded.stride()
        reach = (
            (channels - 1) * channel
            + (crop_height - 1) * row
            + (crop_width - 1) * column
        )
        windows = padded.as_strided(
            (max(padded.numel() - reach, 0), channels, *self.crop_size),
            (column, channel, row, column),
        )
        first = torch.arange(number, device=padded.device) * image
        return windows.index_select(0, first + top * row + left * column)

    def per_image(self) -> dict:
        """Name the transform that does the same to a single image.

        Returns:
            dict: Config of MMPretrain's ``RandomCrop``.
        """
        return dict(
            type='mmpretrain.RandomCrop',
            crop_size=self.crop_size,
            padding=self.padding,
        )

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, '
            f'padding={self.padding})'
        )


def _is_int(value: object) -> bool:
    """Whether a value is a whole number, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)
