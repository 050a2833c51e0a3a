"""The output of a module, if it is a feature with positions."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Optional

from torch import nn

from mmdskd.models.utils.feature_layout import FeatureLayout, unpack_feature

from .recorded_forward import BATCH_SIZE, RecordedForward

# As many tokens without a position as a network may have: the class token,
# that of DeiT's distillation, and registers.
MAX_EXTRA_TOKENS = 8

Size = tuple[int, int]


class Feature(NamedTuple):
    """A module of a network whose output is a feature with positions.

    Attributes:
        name (str): Its name in ``network.named_modules()``.
        layout (FeatureLayout): How the output is laid out.
        channels (int): Its channels.
        grid (tuple[int, int]): Height and width, in positions.
        num_layers (int): Convolutions and linear layers in the module.
    """

    name: str
    layout: FeatureLayout
    channels: int
    grid: Size
    num_layers: int

    @property
    def shape(self) -> str:
        """str: Channels x height x width, and the layout if no NCHW map."""
        text = f'{self.channels}x{self.grid[0]}x{self.grid[1]}'
        if self.layout.order == 'NHWC':
            return f'{text} (NHWC)'
        if self.layout.order == 'NLC':
            extra = self.layout.num_extra_tokens
            more = f' + {extra}' if extra else ''
            return f'{text} ({self.grid[0] * self.grid[1]}{more} tokens)'
        return text

    @property
    def is_pooled(self) -> bool:
        """bool: Whether the module only pools, to a single position."""
        return self.grid == (1, 1) and not self.num_layers


def read_features(
    run: RecordedForward, modules: Mapping[str, nn.Module], image_size: Size
) -> dict[str, Feature]:
    """Find all modules whose output is a feature with positions.

    Args:
        run (RecordedForward): What the modules have returned.
        modules (Mapping[str, nn.Module]): The modules by their names.
        image_size (tuple[int, int]): Height and width of the images.

    Returns:
        dict[str, Feature]: The features by the names of the modules, in the
        order in which these have finished. Outputs that were changed in place
        are left out.
    """
    known_grids = []
    for outputs in run.outputs.values():
        with suppress(TypeError):
            _, grid = unpack_feature(outputs)
            known_grids += [] if grid is None else [grid]
    found = {
        name: read_feature(
            name, modules[name], outputs, image_size, known_grids
        )
        for name, outputs in run.outputs.items()
        if name not in run.changed
    }
    return {name: feature for name, feature in found.items() if feature}


def read_feature(
    name: str,
    module: nn.Module,
    outputs: Any,
    image_size: Size,
    known_grids: Sequence[Size] = (),
) -> Optional[Feature]:
    """Find layout, channels and grid of what a module has returned.

    Args:
        name (str): Name of the module.
        module (nn.Module): The module.
        outputs (Any): What it has returned for :data:`BATCH_SIZE` images.
        image_size (tuple[int, int]): Height and width of the images.
        known_grids (Sequence[tuple[int, int]]): Grids that modules of the
            network return beside their tokens. Defaults to ().

    Returns:
        Feature, optional: The feature, or None if it is none.
    """
    try:
        tensor, grid = unpack_feature(outputs)
    except TypeError:
        return None
    if (
        tensor.dim() not in (3, 4)
        or tensor.size(0) != BATCH_SIZE
        # Pooled tokens, (N, C, 1), are no C tokens of one channel.
        or (tensor.dim() == 3 and tensor.size(2) == 1)
        or not tensor.is_floating_point()
    ):
        return None
    if tensor.dim() == 3:
        tokens = _read_tokens(tensor.size(1), grid, known_grids)
        if tokens is None:
            return None
        layout = FeatureLayout('NLC', *tokens)
    elif _is_downsampled(tensor.shape[2:], image_size):
        layout = FeatureLayout('NCHW')
    elif _is_downsampled(tensor.shape[1:3], image_size):
        layout = FeatureLayout('NHWC')
    else:
        return None
    _, channels, height, width = layout.to_map(outputs).shape
    layers = sum(
        isinstance(child, (nn.Conv2d, nn.Linear)) for child in module.modules()
    )
    return Feature(name, layout, channels, (height, width), layers)


def _is_downsampled(grid: Sequence[int], image_size: Size) -> bool:
    """Whether two edges are those of a downsampled image."""
    height, width = image_size
    stride = max(height / grid[0], width / grid[1])
    return all(
        math.floor(edge / stride) - 1 <= size <= math.ceil(edge / stride) + 1
        for edge, size in zip(image_size, grid)
    ) and (height != width or grid[0] == grid[1])


def _read_tokens(
    count: int, grid: Optional[Size], known_grids: Sequence[Size]
) -> Optional[tuple[int, Optional[Size]]]:
    """Tell tokens with a position from others.

    Args:
        count (int): Number of tokens.
        grid (tuple[int, int], optional): Grid that the module returns.
        known_grids (Sequence[tuple[int, int]]): See :func:`read_feature`.

    Returns:
        tuple: Number of extra tokens, and the grid, or None for a square or
        one that the module returns; or None if that fits no number.
    """
    if grid is not None:
        return (0, None) if math.prod(grid) == count else None
    possible = range(min(MAX_EXTRA_TOKENS + 1, count))
    for extra in possible:
        for known in known_grids:
            if math.prod(known) == count - extra:
                return extra, None if known[0] == known[1] else known
    for extra in possible:
        if math.isqrt(count - extra) ** 2 == count - extra:
            return extra, None
    return None
