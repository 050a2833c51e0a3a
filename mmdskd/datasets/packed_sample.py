"""What a pipeline with ``PackInputs`` gives for an image."""

from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor


def read_sample(packed: Any, index: int) -> tuple[Tensor, int, int]:
    """Read an image and its label.

    Args:
        packed: What the pipeline has given.
        index (int): Position of the image.

    Returns:
        tuple[Tensor, int, int]: The image, uint8 of (C, H, W), its
        label, and its ``sample_idx``.

    Raises:
        TypeError: If it is no packed sample of a uint8 image.
        ValueError: If it is not of one label.
    """
    sample = packed.get('data_samples') if isinstance(packed, dict) else None
    if not isinstance(sample, DataSample) or 'inputs' not in packed:
        found = sorted(packed) if isinstance(packed, dict) else packed
        raise TypeError(
            'The pipeline should end with PackInputs, and so give inputs '
            f'and a DataSample, but image {index} comes as {found!r}.'
        )
    image = packed['inputs']
    if (
        not isinstance(image, Tensor)
        or image.dtype != torch.uint8
        or image.ndim != 3
    ):
        found = type(image).__name__
        if isinstance(image, Tensor):
            found = f'{image.dtype} of {tuple(image.shape)}'
        raise TypeError(
            'The pipeline should leave images as uint8 of (C, H, W) (it '
            'is the data preprocessor that normalises them), but gives '
            f'{found} for image {index}.'
        )
    if sample.keys() != ['gt_label'] or sample.gt_label.numel() != 1:
        raise ValueError(
            'Samples should have one gt_label each, and nothing else, but'
            f' image {index} has {dict(sample.items())}.'
        )
    return (
        image,
        int(sample.gt_label),
        int(sample.metainfo.get('sample_idx', index)),
    )
