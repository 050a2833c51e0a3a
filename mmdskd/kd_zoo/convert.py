"""Read the networks that the codebases of the KD field save.

RepDistiller, SemCKD, SimKD and mdistiller share their networks for CIFAR-100
and Tiny-ImageNet, and the names of the parameters in them. Here is, for each
family, how the field's names follow from ours, and how a network is told by
the names and shapes of its tensors.
"""

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
    _find_family,
    _list_names,
    _make_network,
    _num_classes,
    _shapes,
    compare,
    identify,
)

# Where a file has its weights: the field's own name, and the common one.
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
        'and SimKD. The ResNet50 of RepDistiller and mdistiller has a 3x3 stem; '
        'the one with 7x7 is MMPretrain\'s "ResNet"',
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
        left_behind (dict): Number of tensors of each other part of the file,
            such as ``teacher``.
    """

    network: Network
    checkpoint: dict
    left_behind: dict[str, int]


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
    weights, left_behind = _select(_find_weights(checkpoint, path))
    shapes = _shapes(weights)
    _refuse_foreign(shapes, path)
    network = _find_network(shapes, arch, path)
    state_dict = {
        key: weights[field_name].detach()
        if field_name in weights
        else torch.tensor(0)  # The number of batches that a BN has seen.
        for key, field_name in network.field_names.items()
    }
    converted_from = dict(file=osp.basename(path), arch=network.name)
    converted_from.update(_facts(checkpoint))
    meta = dict(mmdskd_version=__version__, converted_from=converted_from)
    return Conversion(
        network, dict(meta=meta, state_dict=state_dict), left_behind
    )


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
            f'"{path}" should hold named tensors under "model", as the '
            'codebases of the field save them, but holds '
            f'{", ".join(others[:NUM_EXAMPLES]) or "none"}.'
        )
    if any(key.startswith('backbone.') for key in weights):
        raise CheckpointError(
            f'"{path}" should be in the names of the field, but has the '
            'backbone of MMPretrain: it needs no conversion.'
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
    """Take the prefixes off, and leave what stands beside a student."""
    prefixes = {key: PREFIX.match(key) for key in weights}
    has_student = any(prefix[1] for prefix in prefixes.values())
    selected, left_behind = {}, Counter()
    for key, prefix in prefixes.items():
        plain_key = key[prefix.end() :]
        if has_student and not prefix[1]:
            left_behind[plain_key.partition('.')[0]] += 1
        else:
            selected[plain_key] = weights[key]
    return selected, dict(left_behind)


def _refuse_foreign(shapes: Shapes, path: Union[str, os.PathLike]) -> None:
    for key, kernel, what in FOREIGN:
        if shapes.get(key, ())[2:] == kernel:
            raise ValueError(
                f'"{path}" should be a CIFAR network of the '
                f'field, but is {what}.'
            )


def _find_network(
    shapes: Shapes, arch: Optional[str], path: Union[str, os.PathLike]
) -> Network:
    """Find the network that fits, and see that it is the one of ``arch``."""
    if arch is not None:
        name, family = _find_family(arch)
        network = _make_network(name, family, _num_classes(shapes, family))
        misfit = compare(shapes, network)
        if not misfit.size:
            return network
    nearest, nearest_misfit = identify(shapes)
    if not nearest_misfit.size:
        found = f'{nearest.name} with {nearest.num_classes} classes fits'
    elif nearest_misfit.overlap:
        found = (
            f'the nearest network is {nearest.name} with '
            f'{nearest.num_classes} classes: {nearest_misfit}'
        )
    else:
        keys = ', '.join(nearest_misfit.unexpected[:NUM_EXAMPLES])
        found = f'it has no key in common with any of them: {keys}, ...'
    if arch is not None:
        raise ValueError(
            f'"{path}" should be {arch!r}, but is another '
            f'network: {misfit}. Of all networks, {found}.'
        )
    if nearest_misfit.size:
        raise ValueError(
            f'"{path}" should be a network of the field '
            f'({_list_names()}), but {found}.'
        )
    return nearest


def _facts(checkpoint: dict) -> dict[str, str]:
    """Keep the numbers that tell which checkpoint it was, as text."""
    facts = {}
    for key in FACTS:
        with suppress(TypeError, ValueError, RuntimeError):
            # A number of Python or numpy, or a tensor with one.
            facts[key] = f'{float(checkpoint.get(key)):g}'
    return facts
