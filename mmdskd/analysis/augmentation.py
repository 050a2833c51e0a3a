"""Augmentation of whole batches: ours, Kornia's and torchvision's."""

from collections.abc import Sequence
from functools import partial
from typing import Callable, Optional

import torch
from torch import Tensor, nn

from mmdskd.models import (
    AugmentSequence,
    BaseBatchAugment,
    BatchRandomCrop,
    BatchRandomFlip,
)

from .data_path import SEED, SYNTHETIC_SIZE
from .measure import measure_speeds

OURS = 'mmdskd, uint8'
Functions = dict[str, Callable[[Tensor], Tensor]]


def make_functions(
    augments: Sequence[BaseBatchAugment],
) -> tuple[Functions, list[str]]:
    """Build the same augmentation of all libraries that are installed.

    Args:
        augments (Sequence[BaseBatchAugment]): Ours.

    Returns:
        tuple[dict[str, Callable], list[str]]: The functions by their names,
        ours as :data:`OURS`, and a note on each other library.
    """
    functions: Functions = {OURS: AugmentSequence(augments, SEED)}
    notes = [add(functions, augments) for add in (add_kornia, add_torchvision)]
    return functions, notes


def measure_augments(
    functions: Functions,
    shape: Sequence[int],
    repeats: int,
    turns: int,
    device: str,
) -> dict[str, list[float]]:
    """Measure functions on batches of random images.

    Args:
        functions (dict[str, Callable]): See :func:`make_functions`.
        shape (Sequence[int]): Batch size and channels.
        repeats (int): Number of batches of a turn.
        turns (int): How often each is measured.
        device (str): The device.

    Returns:
        dict[str, list[float]]: Seconds per image, in order of time.
    """
    images = torch.randint(
        256, (*shape, *SYNTHETIC_SIZE), dtype=torch.uint8, device=device
    )

    def repeat(function: Callable[[Tensor], Tensor]) -> Callable[[], int]:
        def run() -> int:
            for _ in range(repeats):
                function(images)
            return repeats * len(images)

        return run

    return measure_speeds(
        {name: repeat(function) for name, function in functions.items()},
        turns,
        device,
    )


def translate(
    augments: Sequence[BaseBatchAugment], crop: Callable, flip: Callable
) -> Optional[list]:
    """Build the augmentations of another library.

    Args:
        augments (Sequence[BaseBatchAugment]): Ours.
        crop (Callable): Makes a crop of size and padding.
        flip (Callable): Makes a flip of a probability.

    Returns:
        list or None: The others, or None if there are none.
    """
    others = []
    for augment in augments:
        if isinstance(augment, BatchRandomCrop):
            others.append(crop(augment.crop_size, augment.padding or None))
        elif isinstance(augment, BatchRandomFlip):
            others.append(flip(augment.prob))
        else:
            return None
    return others


def add_kornia(
    functions: Functions, augments: Sequence[BaseBatchAugment]
) -> str:
    """Add Kornia's augmentations, which draw for each image.

    Args:
        functions (dict[str, Callable]): Where to add them.
        augments (Sequence[BaseBatchAugment]): Ours.

    Returns:
        str: The version, or why there is none.
    """
    try:
        import kornia
        from kornia.augmentation import RandomCrop, RandomHorizontalFlip
    except ImportError as error:
        return f'Kornia is not installed ({error}).'
    for mode in ('slice', 'resample'):
        modules = translate(
            augments,
            partial(RandomCrop, cropping_mode=mode),
            lambda prob: RandomHorizontalFlip(p=prob),
        )
        if modules is None:
            return 'Kornia: no equivalent known.'
        functions[f'Kornia, cropping_mode="{mode}", float'] = _in_float(
            nn.Sequential(*modules)
        )
    return f'Kornia {kornia.__version__}.'


def _in_float(function: Callable[[Tensor], Tensor]) -> Callable:
    """Let a function have what it needs, as part of its cost."""
    return lambda images: function(images.float())


def add_torchvision(
    functions: Functions, augments: Sequence[BaseBatchAugment]
) -> str:
    """Add torchvision's augmentations, which draw once per call.

    Args:
        functions (dict[str, Callable]): Where to add them.
        augments (Sequence[BaseBatchAugment]): Ours.

    Returns:
        str: The version, or why there is none.
    """
    try:
        import torchvision
        from torchvision.transforms import v2
    except ImportError as error:
        return f'torchvision has no v2 ({error}).'
    transforms = translate(
        augments,
        lambda size, padding: v2.RandomCrop(size, padding),
        v2.RandomHorizontalFlip,
    )
    if transforms is None:
        return 'torchvision: no equivalent known.'
    transform = v2.Compose(transforms)
    functions['torchvision v2, image by image, uint8'] = lambda images: (
        torch.stack([transform(image) for image in images])
    )
    return f'torchvision {torchvision.__version__}.'
