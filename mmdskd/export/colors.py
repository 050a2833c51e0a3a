"""The order of the colours in the images of a run."""

from collections.abc import Iterator
from typing import Any, Optional

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
    colors = find_data_colors(cfg)
    if colors is not None:
        return colors
    # MMPretrain reverses to RGB only.
    return BGR if getattr(preprocessor, 'to_rgb', False) else UNKNOWN


def find_data_colors(cfg: Config) -> Optional[str]:
    """Find the order of the colours that data sets and pipelines give.

    MMCV reads files as blue, green, red, while data sets of arrays hold them
    the other way.

    Args:
        cfg (Config): Config with the data.

    Returns:
        str, optional: "rgb" or "bgr"; "unknown" where the pipeline converts
        or the splits differ; None where nothing tells.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    found = set()
    for name in DATALOADERS:
        parts = list(_find_parts((cfg.get(name) or {}).get('dataset')))
        if any(type_name(part) in CONVERTERS for part in parts):
            return UNKNOWN
        for part in parts:
            if type_name(part) == 'LoadImageFromFile':
                color_type = part.get('color_type', 'color')
                found.add(BGR if color_type.startswith('color') else UNKNOWN)
            elif _is_cifar(part, scope):
                found.add(RGB)
    if len(found) > 1:
        return UNKNOWN
    return found.pop() if found else None


def _is_cifar(part: dict, scope: str) -> bool:
    """Whether a part of a config is a data set of CIFAR."""
    kind = find_class(DATASETS, part, scope)
    return isinstance(kind, type) and issubclass(kind, CIFAR10)


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
