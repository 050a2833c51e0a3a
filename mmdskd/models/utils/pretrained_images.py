"""The images that a network of another library was pretrained on."""

import json
import os.path as osp
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from torch import nn

from mmdskd.utils.image_size import find_built_size

# Of Pillow, as image processors of Hugging Face name them by number.
RESAMPLING = {
    0: 'nearest',
    1: 'lanczos',
    2: 'bilinear',
    3: 'bicubic',
    4: 'box',
    5: 'hamming',
}
# How torch names what comes next to them.
INTERPOLATIONS = {
    'nearest': 'nearest-exact',
    'bilinear': 'bilinear',
    'hamming': 'bilinear',
    'box': 'area',
}
PROCESSOR_FILE = 'preprocessor_config.json'


class PretrainedImages(NamedTuple):
    """What a network was pretrained on, by its own account.

    Attributes:
        source (str): Where it is written.
        mean (list[float], optional): Mean of the pixels, from 0 to 255, in
            the order red, green, blue. None if it is not known.
        std (list[float], optional): Their deviation, likewise.
        size (tuple[int, int], optional): Height and width.
        interpolation (str): How images are resized, as torch names it.
    """

    source: str
    mean: Optional[list[float]] = None
    std: Optional[list[float]] = None
    size: Optional[tuple[int, int]] = None
    interpolation: str = 'bicubic'


def find_pretrained_images(network: nn.Module) -> Optional[PretrainedImages]:
    """Find what a network of another library was pretrained on.

    Nothing is downloaded.

    Args:
        network (nn.Module): The network of timm or Hugging Face, or one that
            it is a part of, such as MMPretrain's ``TimmClassifier``,
            ``TIMMBackbone`` and ``HuggingFaceClassifier``; or our
            ``TorchvisionClassifier``.

    Returns:
        PretrainedImages, optional: What it says, or None if it is of another
        library.
    """
    for module in network.modules():
        weights = getattr(module, 'default_weights', None)
        if weights is not None:
            return _of_torchvision(weights, find_built_size(module))
        for name in ('pretrained_cfg', 'default_cfg'):
            cfg = getattr(module, name, None)
            if isinstance(cfg, Mapping) and cfg.get('mean'):
                return _of_timm(cfg, name, find_built_size(module))
        # Of transformers.PretrainedConfig.
        model = getattr(getattr(module, 'config', None), 'name_or_path', None)
        if isinstance(model, str):
            return _of_hugging_face(model, find_built_size(module))
    return None


def _of_timm(
    cfg: Mapping[str, Any], name: str, built: Optional[tuple[int, int]]
) -> PretrainedImages:
    """Read a config of timm, whose pixels are from 0 to 1."""
    size = _as_size(tuple(cfg.get('input_size') or ())[1:])
    return PretrainedImages(
        f'its {name} of timm',
        _scale(cfg['mean'], 255),
        _scale(cfg['std'], 255),
        built or size,
        _interpolation(cfg.get('interpolation')),
    )


def _of_torchvision(
    weights: Any, built: Optional[tuple[int, int]]
) -> PretrainedImages:
    """Read the transforms of weights, whose pixels are from 0 to 1."""
    transforms = weights.transforms()
    return PretrainedImages(
        f'{weights} of torchvision',
        _scale(transforms.mean, 255),
        _scale(transforms.std, 255),
        built or _as_size(transforms.crop_size * 2),
        _interpolation(transforms.interpolation.value),
    )


def _of_hugging_face(
    name: str, built: Optional[tuple[int, int]]
) -> PretrainedImages:
    """Read the config of the image processor beside a model."""
    path = _find_processor(name)
    if path is None:
        return PretrainedImages(f'{PROCESSOR_FILE} of {name}', size=built)
    with open(path, encoding='utf-8') as file:
        cfg = json.load(file)
    # (pixel * factor - mean) / std
    factor = cfg.get('rescale_factor') or 1 / 255
    scale = 1 / factor if cfg.get('do_rescale', True) else 1.0
    mean, std = [0.0], [1.0]
    if cfg.get('do_normalize', True):
        mean, std = cfg.get('image_mean'), cfg.get('image_std')
    if mean is not None and std is not None:
        mean, std = _scale(mean, scale), _scale(std, scale)
    is_cropped = cfg.get('do_center_crop') and cfg.get('crop_size')
    size = cfg['crop_size'] if is_cropped else cfg.get('size')
    if isinstance(size, dict):
        edge = size.get('shortest_edge')
        size = (size.get('height', edge), size.get('width', edge))
    return PretrainedImages(
        f'{PROCESSOR_FILE} of {name}',
        mean,
        std,
        built or _as_size(size),
        _interpolation(RESAMPLING.get(cfg.get('resample', 3))),
    )


def _find_processor(name: str) -> Optional[str]:
    """Find the file in a folder, or among those that were downloaded."""
    if osp.isdir(name):
        path = osp.join(name, PROCESSOR_FILE)
        return path if osp.isfile(path) else None
    # Of an extra, which a network of Hugging Face has brought along.
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached: Any = try_to_load_from_cache(name, PROCESSOR_FILE)
    except HFValidationError:  # no name of a repository
        return None
    return cached if isinstance(cached, str) else None


def _scale(values: Any, factor: float) -> list[float]:
    """Multiply numbers, without the noise of their last digits."""
    values = [values] if isinstance(values, (int, float)) else values
    return [round(value * factor, 6) for value in values]


def _as_size(size: Any) -> Optional[tuple[int, int]]:
    """Height and width, if it is a size."""
    sizes = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(sizes, (tuple, list))
        or len(sizes) != 2
        or not all(isinstance(n, int) and n > 0 for n in sizes)
    ):
        return None
    return sizes[0], sizes[1]


def _interpolation(name: Any) -> str:
    """Name an interpolation as torch does; "lanczos" is near to "bicubic"."""
    return INTERPOLATIONS.get(str(name), 'bicubic')
