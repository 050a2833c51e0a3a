"""The order of the colours in the images of a run."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS
from mmpretrain.datasets import CIFAR10
from torch import nn

from mmdskd.utils.config import find_class, type_name

GREY, RGB, BGR, UNKNOWN = 'grey', 'rgb', 'bgr', 'unknown'
ORDERS = (RGB, BGR)
# Transforms that may reverse the colours
CONVERTERS = ('NumpyToPIL', 'PILToNumpy')
DATALOADERS = ('test_dataloader', 'val_dataloader', 'train_dataloader')


def reverses_colors(preprocessor: nn.Module) -> bool:
    """Whether a data preprocessor reverses the order of the colours.

    Args:
        preprocessor (nn.Module): That of a model.

    Returns:
        bool: Whether it does.
    """
    return bool(
        getattr(preprocessor, 'to_rgb', False)  # MMPretrain's
        or getattr(preprocessor, '_channel_conversion', False)  # MMEngine's
    )


def find_colors(cfg: Config, preprocessor: nn.Module, channels: int) -> str:
    """Find the order of the colours that the data preprocessor gets.

    Args:
        cfg (Config): Config with the data.
        preprocessor (nn.Module): Data preprocessor of the model.
        channels (int): Number of channels of the images.

    Returns:
        str: "rgb" or "bgr", "grey" for one channel, "unknown" where neither
        the data set nor the data preprocessor tells.
    """
    if channels != 3:
        return GREY if channels == 1 else UNKNOWN
    scope = cfg.get('default_scope') or 'mmengine'
    for name in DATALOADERS:
        if cfg.get(name):
            parts = list(_find_parts(cfg[name].to_dict().get('dataset')))
            if any(type_name(part) in CONVERTERS for part in parts):
                return UNKNOWN
            for part in parts:
                if type_name(part) == 'LoadImageFromFile':
                    color_type = part.get('color_type', 'color')
                    return BGR if color_type.startswith('color') else UNKNOWN
                kind = find_class(DATASETS, part, scope)
                if isinstance(kind, type) and issubclass(kind, CIFAR10):
                    return RGB
            break
    # MMPretrain reverses to RGB only.
    return BGR if getattr(preprocessor, 'to_rgb', False) else UNKNOWN


def reverse(colors: str) -> str:
    """Reverse the order of colours.

    Args:
        colors (str): See :func:`find_colors`.

    Returns:
        str: "rgb" for "bgr" and the other way round; others stay.
    """
    return {RGB: BGR, BGR: RGB}.get(colors, colors)


def _find_parts(node: Any) -> Iterator[dict]:
    """Find what has a type in the config of a data set, inner parts first."""
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _find_parts(item)
    elif isinstance(node, dict):
        for value in node.values():
            yield from _find_parts(value)
        if 'type' in node:
            yield node
