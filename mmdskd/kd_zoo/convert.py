"""Convert checkpoints of RepDistiller, SemCKD, SimKD and mdistiller."""

import os
import os.path as osp
import re
from collections import Counter
from contextlib import suppress
from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor

from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file
from mmdskd.version import __version__

from .families import Shapes
from .networks import (
    NUM_EXAMPLES,
    Network,
    compare,
    count_classes,
    find_family,
    identify,
    list_names,
    make_network,
    shapes_of,
)

# Where a file has its weights: the key of these codebases, and the usual one.
WEIGHTS_KEYS = ('model', 'state_dict')
# What is worth keeping of the rest.
FACTS = ('epoch', 'accuracy', 'best_acc')
# DataParallel, and the student among the parts of mdistiller's distillers.
PREFIX = re.compile(r'(?:module\.)*(student\.)?(?:module\.)*')
RESAVE = (
    "In Python that is \"f = torch.load(SRC, map_location='cpu', "
    "weights_only=False); torch.save({'model': f['model']}, NEW)\", where "
    'the class can be imported; it runs whatever code is in the file. Of a '
    "network that was saved whole, take the state_dict(). RepDistiller's "
    '"..._last.pth" holds the arguments of its run, but the "..._best.pth" '
    'beside it does not.'
)


# Networks of the same codebases that ours are not, by a key of theirs and the
# shape of its kernel.
FOREIGN = (
    (
        'conv1.weight',
        (7, 7),
        'a torchvision ResNet with a 7x7 stem, such as the ResNet50 of SemCKD '
        'and SimKD. The ResNet50 of RepDistiller and mdistiller has a 3x3 '
        'stem; the one with 7x7 is MMPretrain\'s "ResNet"',
    ),
    (
        'stage1.residual.0.weight',
        (1, 1),
        "mdistiller's MobileNetV2 for Tiny-ImageNet, which has ReLU6, biased "
        'convolutions and other strides than its MobileNetV2 for CIFAR-100',
    ),
    (
        'features.0.0.weight',
        (3, 3),
        'a torchvision MobileNetV2, which '
        'SemCKD and SimKD call MobileNetV2_Imagenet',
    ),
    (
        'stage2.0.branch1.0.weight',
        (3, 3),
        'a torchvision ShuffleNetV2, which '
        'SemCKD and SimKD call ShuffleV2_Imagenet',
    ),
    (
        'features.0.weight',
        (3, 3),
        'a torchvision VGG, which SemCKD calls '
        'vgg11_imagenet or vgg13_imagenet',
    ),
)


class Conversion(NamedTuple):
    """A converted checkpoint.

    Attributes:
        network (Network): The network that was found.
        checkpoint (dict): ``state_dict`` and ``meta``, for MMPretrain.
        ignored (dict): Number of tensors of each part of the file that is
            not converted, such as ``teacher``.
    """

    network: Network
    checkpoint: dict
    ignored: dict[str, int]


def convert_kd_zoo_checkpoint(
    path: Union[str, os.PathLike], arch: Optional[str] = None
) -> Conversion:
    """Convert a network that RepDistiller, SemCKD, SimKD or mdistiller saved.

    Args:
        path (str or os.PathLike): The file. Of a distiller of mdistiller, the
            student is taken.
        arch (str, optional): Name of the network, as for
            :func:`get_network`. Defaults to None, which means to find it by
            the names and shapes of the tensors.

    Returns:
        Conversion: The checkpoint for MMPretrain, and what it is of. Its
        ``meta`` holds text and whole numbers only, which even torch 1.13
        reads with ``weights_only=True``.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it can't be read, or holds other things than
            weights, or they are not where they should be.
        ValueError: If it fits no known network, or not ``arch``, or ``arch``
            is no network.
    """
    checkpoint = _read(path)
    weights, ignored = _select(_find_weights(checkpoint, path))
    shapes = shapes_of(weights)
    _refuse_foreign(shapes, path)
    network = _find_network(shapes, arch, path)
    state_dict = {
        key: weights[zoo_name].detach()
        if zoo_name in weights
        else torch.tensor(0)  # The number of batches that a BN has seen.
        for key, zoo_name in network.zoo_names.items()
    }
    converted_from = dict(file=osp.basename(path), arch=network.name)
    converted_from.update(_facts(checkpoint))
    meta = dict(mmdskd_version=__version__, converted_from=converted_from)
    return Conversion(network, dict(meta=meta, state_dict=state_dict), ignored)


def _read(path: Union[str, os.PathLike]) -> dict:
    """Read a file, and tell what to do if it holds more than weights."""
    try:
        return load_checkpoint_file(path)
    except CheckpointError as error:
        if 'unknown class' not in str(error):
            raise
        raise CheckpointError(f'{error} {RESAVE}') from None


def _find_weights(
    checkpoint: dict, path: Union[str, os.PathLike]
) -> dict[str, Tensor]:
    """Find the state dict in what a file holds."""
    weights = next(
        (
            checkpoint[key]
            for key in WEIGHTS_KEYS
            if isinstance(checkpoint.get(key), dict)
        ),
        checkpoint,
    )
    others = [
        f'{key!r} ({type(value).__name__})'
        for key, value in weights.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if others or not weights:
        raise CheckpointError(
            f'"{path}" should hold named tensors under "model", as '
            'RepDistiller and mdistiller save them, but holds '
            f'{", ".join(others[:NUM_EXAMPLES]) or "none"}.'
        )
    if any(key.startswith('backbone.') for key in weights):
        raise CheckpointError(
            f'"{path}" should have the parameter names of RepDistiller, but '
            'has the backbone of MMPretrain: it needs no conversion.'
        )
    if 'proj' in checkpoint:
        raise CheckpointError(
            f'"{path}" should be a network of its own, but is a student of '
            'SimKD, which predicts by a projector ("proj") and the '
            "teacher's classifier. Its own classifier stays untrained "
            'unless SimKD was told otherwise.'
        )
    return weights


def _select(
    weights: dict[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Remove the prefixes, and count the tensors beside a student."""
    # Each key matches, if only with an empty prefix.
    prefixes = [
        (key, match) for key in weights if (match := PREFIX.match(key))
    ]
    has_student = any(match[1] for _, match in prefixes)
    selected: dict[str, Tensor] = {}
    ignored: Counter[str] = Counter()
    for key, match in prefixes:
        plain_key = key[match.end() :]
        if has_student and not match[1]:
            ignored[plain_key.partition('.')[0]] += 1
        else:
            selected[plain_key] = weights[key]
    return selected, dict(ignored)


def _refuse_foreign(shapes: Shapes, path: Union[str, os.PathLike]) -> None:
    for key, kernel, what in FOREIGN:
        if shapes.get(key, ())[2:] == kernel:
            raise ValueError(
                f'"{path}" should be a CIFAR network of the KD '
                f'zoo, but is {what}.'
            )


def _find_network(
    shapes: Shapes, arch: Optional[str], path: Union[str, os.PathLike]
) -> Network:
    """Find the network that fits, and see that it is the one of ``arch``."""
    if arch is not None:
        name, family = find_family(arch)
        network = make_network(name, family, count_classes(shapes, family))
        mismatch = compare(shapes, network)
        if not mismatch.size:
            return network
    nearest, nearest_mismatch = identify(shapes)
    if not nearest_mismatch.size:
        found = f'{nearest.name} with {nearest.num_classes} classes fits'
    elif nearest_mismatch.overlap:
        found = (
            f'the nearest network is {nearest.name} with '
            f'{nearest.num_classes} classes: {nearest_mismatch}'
        )
    else:
        keys = ', '.join(nearest_mismatch.unexpected[:NUM_EXAMPLES])
        found = f'it has no key in common with any of them: {keys}, ...'
    if arch is not None:
        raise ValueError(
            f'"{path}" should be {arch!r}, but is another '
            f'network: {mismatch}. Of all networks, {found}.'
        )
    if nearest_mismatch.size:
        raise ValueError(
            f'"{path}" should be a network of the KD zoo '
            f'({list_names()}), but {found}.'
        )
    return nearest


def _facts(checkpoint: dict) -> dict[str, str]:
    """Keep the numbers that tell which checkpoint it was, as text."""
    facts = {}
    for key in FACTS:
        with suppress(KeyError, TypeError, ValueError, RuntimeError):
            # A number of Python or numpy, or a tensor with one.
            facts[key] = f'{float(checkpoint[key]):g}'
    return facts
