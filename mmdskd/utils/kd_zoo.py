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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Union

import torch
from torch import Tensor

from mmdskd.models import CIFARVGG, CIFARShuffleNetV2
from mmdskd.registry import MODELS
from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file
from mmdskd.version import __version__

Shapes = dict[str, tuple[int, ...]]

# Where a file has its weights: the field's own name, and the common one.
WEIGHTS_KEYS = ('model', 'state_dict')
# What is worth keeping of the rest.
FACTS = ('epoch', 'accuracy', 'best_acc')
# DataParallel, and the student among the parts of mdistiller's distillers.
PREFIX = re.compile(r'(?:module\.)*(student\.)?(?:module\.)*')
COUNTER = 'num_batches_tracked'
NUM_EXAMPLES = 3
RESAVE = (
    "In Python that is \"f = torch.load(SRC, map_location='cpu', "
    "weights_only=False); torch.save({'model': f['model']}, NEW)\", where "
    'the class can be imported; it runs whatever code is in the file. Of a '
    "network that was saved whole, take the state_dict(). RepDistiller's "
    '"..._last.pth" holds the arguments of its run, but the "..._best.pth" '
    'beside it does not.'
)


@dataclass(frozen=True)
class Family:
    """Networks that differ in depth and width only.

    Attributes:
        names (str): Names of the networks, for messages.
        pattern (str): Regular expression of a whole name.
        classifier (str): The field's name of the last linear layer.
        rules (Sequence[tuple]): Patterns and replacements as of
            :func:`re.sub`, which make the field's name of a tensor from ours
            in the backbone.
        configure (Callable): Makes of a matched name the config of our
            backbone, and the number of its output channels.
        guess (Callable): Makes of the shapes of a file's tensors the name of
            the network that they suggest; of any others, some name.
    """

    names: str
    pattern: str
    classifier: str
    rules: Sequence[tuple[str, Union[str, Callable[[re.Match], str]]]]
    configure: Callable[[re.Match], tuple[dict, int]]
    guess: Callable[[Shapes], str]


def _size(shapes: Shapes, key: str, default: int) -> int:
    """Get the number of output channels of a layer."""
    return (shapes.get(key) or (default,))[0]


def _count(shapes: Shapes, pattern: str) -> int:
    return sum(bool(re.fullmatch(pattern, key)) for key in shapes)


# Thin ResNets: the channels of the stem and of the three stages.
THIN_WIDTHS = {
    '': (16, 16, 32, 64),
    'x1': (16, 16, 32, 64),
    'x2': (16, 32, 64, 128),
    'x4': (32, 64, 128, 256),
    'x4-double': (64, 128, 256, 512),
}


def _configure_thin_resnet(match: re.Match) -> tuple[dict, int]:
    stem, *stages = THIN_WIDTHS[match['width']]
    backbone = dict(type='mmdskd.CIFARResNet', depth=int(match['depth']))
    if stages[0] != 16:
        backbone.update(stem_channels=stem, stage_channels=tuple(stages))
    return backbone, stages[-1]


def _guess_thin_resnet(shapes: Shapes) -> str:
    blocks = _count(shapes, r'layer\d\.\d+\.conv1\.weight')
    depth = 6 * max(blocks // 3, 1) + 2
    channels = _size(shapes, 'layer1.0.conv1.weight', 16)
    width = min(
        THIN_WIDTHS, key=lambda width: abs(THIN_WIDTHS[width][1] - channels)
    )
    # These names without a width are those of the large ResNets.
    return f'resnet{depth}{width or ("x1" if depth in RESNETS else "")}'


# The other ResNets: number of blocks.
RESNETS = {18: 8, 34: 16, 50: 16, 101: 33, 152: 50}
BOTTLENECK_DEPTH = 50


def _configure_resnet(match: re.Match) -> tuple[dict, int]:
    depth = int(match['depth'])
    return (
        dict(type='ResNet_CIFAR', depth=depth, zero_init_residual=False),
        2048 if depth >= BOTTLENECK_DEPTH else 512,
    )


def _guess_resnet(shapes: Shapes) -> str:
    blocks = _count(shapes, r'layer\d\.\d+\.conv1\.weight')
    bottleneck = 'layer1.0.conv3.weight' in shapes
    depths = [d for d in RESNETS if (d >= BOTTLENECK_DEPTH) == bottleneck]
    depth = min(depths, key=lambda depth: abs(RESNETS[depth] - blocks))
    return f'resnet{depth}'


def _configure_wide_resnet(match: re.Match) -> tuple[dict, int]:
    depth, widen_factor = int(match['depth']), int(match['width'])
    return dict(
        type='mmdskd.CIFARWideResNet', depth=depth, widen_factor=widen_factor
    ), 64 * widen_factor


def _guess_wide_resnet(shapes: Shapes) -> str:
    blocks = _count(shapes, r'block\d\.layer\.\d+\.conv1\.weight')
    depth = 6 * max(blocks // 3, 1) + 4
    width = _size(shapes, 'block1.layer.0.conv1.weight', 16) // 16
    return f'wrn{depth}-{max(width, 1)}'


def _configure_vgg(match: re.Match) -> tuple[dict, int]:
    return dict(type='mmdskd.CIFARVGG', depth=int(match['depth'])), 512


def _guess_vgg(shapes: Shapes) -> str:
    convs = sum(
        len(shape) == 4 and bool(re.fullmatch(r'block\d\.\d+\.weight', key))
        for key, shape in shapes.items()
    )
    depth = min(
        CIFARVGG.ARCHS,
        key=lambda depth: abs(sum(CIFARVGG.ARCHS[depth]) - convs),
    )
    return f'vgg{depth}'


def _vgg_key(match: re.Match) -> str:
    """Count convolution, BN and ReLU as modules of their own."""
    stage, position = int(match[1]), int(match[2])
    if stage > 1:
        position -= 1  # Our stage begins with its pooling.
    return f'block{stage - 1}.{3 * position + (match[3] == "bn")}'


# The field's width factor in a name, as "1-5", unless it is the default.
WIDTH = r'(?:-(?P<width>\d+-\d+))?'


def _width_suffix(width: float, default: float) -> str:
    return '' if width == default else f'-{width}'.replace('.', '-')


def _configure_width(backbone: dict, match: re.Match, default: float) -> float:
    """Set in ``backbone`` the width that a name tells, and return it."""
    width = float((match['width'] or str(default)).replace('-', '.'))
    if width != default:
        backbone['widen_factor'] = width
    return width


# Groups and blocks of the field in our stages; the first block is in two.
MOBILENET_V2_BLOCKS = {
    '1': ('0.0', '0.0', '1.0', '1.1'),
    '2': ('2.0', '2.1', '2.2'),
    '3': ('3.0', '3.1', '3.2', '3.3', '4.0', '4.1', '4.2'),
    '4': ('5.0', '5.1', '5.2', '6.0'),
}
MOBILENET_V2_CONVS = {None: 0, 'expand': 0, 'depthwise': 3, 'linear': 6}


def _configure_mobilenet_v2(match: re.Match) -> tuple[dict, int]:
    backbone = dict(type='mmdskd.CIFARMobileNetV2')
    width = _configure_width(backbone, match, 0.5)
    return backbone, int(1280 * max(width, 1))


def _guess_mobilenet_v2(shapes: Shapes) -> str:
    # The widest layer tells the width best, which cuts to whole numbers.
    channels = _size(shapes, 'blocks.6.0.conv.6.weight', 160)
    return f'mobilenetv2{_width_suffix(max(channels, 20) / 320, 0.5)}'


def _mobilenet_v2_key(match: re.Match) -> str:
    block = MOBILENET_V2_BLOCKS[match[1]][int(match[2])]
    index = MOBILENET_V2_CONVS[match[3]] + (match[4] == 'bn')
    return f'blocks.{block}.conv.{index}'


def _configure_shufflenet_v1(match: re.Match) -> tuple[dict, int]:
    return dict(type='mmdskd.CIFARShuffleNetV1'), 960


def _configure_shufflenet_v2(match: re.Match) -> tuple[dict, int]:
    backbone = dict(type='mmdskd.CIFARShuffleNetV2')
    width = _configure_width(backbone, match, 1.0)
    return backbone, 2048 if width == 2 else 1024


def _guess_shufflenet_v2(shapes: Shapes) -> str:
    channels = 2 * _size(shapes, 'layer1.0.conv2.weight', 58)
    width = min(
        CIFARShuffleNetV2.ARCHS,
        key=lambda width: abs(CIFARShuffleNetV2.ARCHS[width][0] - channels),
    )
    return f'shufflenetv2{_width_suffix(width, 1.0)}'


def _shufflenet_v2_key(match: re.Match) -> str:
    """Count the convolutions of both branches in one row."""
    block, branch, position, kind = match.groups()
    first_branch = 2 if block == '0' and branch == '2' else 0
    return f'.{block}.{kind}{first_branch + int(position) + 1}'


# By the name alone "resnet50" is a large ResNet: these stand first.
FAMILIES = (
    Family(
        names=', '.join(f'resnet{depth}' for depth in RESNETS),
        pattern=f'resnet(?P<depth>{"|".join(map(str, RESNETS))})',
        classifier='linear',
        rules=[('downsample', 'shortcut')],
        configure=_configure_resnet,
        guess=_guess_resnet,
    ),
    Family(
        names='resnet<6n+2>[x2, x4 or x4-double]',
        pattern=r'resnet(?P<depth>\d+)'
        f'(?P<width>{"|".join(THIN_WIDTHS)})',
        classifier='fc',
        rules=[],
        configure=_configure_thin_resnet,
        guess=_guess_thin_resnet,
    ),
    Family(
        names='wrn<6n+4>-<k>',
        pattern=r'wrn(?P<depth>\d+)-(?P<width>\d+)',
        classifier='fc',
        rules=[
            (r'layer(\d)', r'block\1.layer'),
            ('downsample', 'convShortcut'),
        ],
        configure=_configure_wide_resnet,
        guess=_guess_wide_resnet,
    ),
    Family(
        names=', '.join(f'vgg{depth}' for depth in CIFARVGG.ARCHS),
        pattern=r'vgg(?P<depth>\d+)',
        classifier='classifier',
        rules=[(r'layer(\d)\.(\d+)\.(conv|bn)', _vgg_key)],
        configure=_configure_vgg,
        guess=_guess_vgg,
    ),
    Family(
        names='mobilenetv2[-<width>, as in -1-0]',
        pattern=f'mobilenetv2{WIDTH}',
        classifier='classifier.0',
        rules=[
            (r'^conv(\d)', r'conv\1.0'),
            (r'^bn(\d)', r'conv\1.1'),
            (
                r'layer(\d)\.(\d+)\.(?:(\w+)_conv\.)?(conv|bn)',
                _mobilenet_v2_key,
            ),
        ],
        configure=_configure_mobilenet_v2,
        guess=_guess_mobilenet_v2,
    ),
    Family(
        names='shufflenetv1',
        pattern='shufflenetv1',
        classifier='linear',
        rules=[(r'(\d)\.conv(\d)\.(conv|bn)', r'\1.\3\2')],
        configure=_configure_shufflenet_v1,
        guess=lambda shapes: 'shufflenetv1',
    ),
    Family(
        names='shufflenetv2[-0-5, -1-5 or -2-0]',
        pattern=f'shufflenetv2{WIDTH}',
        classifier='linear',
        rules=[(r'\.(\d+)\.branch(\d)\.(\d)\.(conv|bn)', _shufflenet_v2_key)],
        configure=_configure_shufflenet_v2,
        guess=_guess_shufflenet_v2,
    ),
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


class Network(NamedTuple):
    """One of our networks that is one of the field's.

    Attributes:
        name (str): Its name, as in our configs.
        model (dict): Config of the classifier, for MMPretrain.
        shapes (dict): Shape of each tensor, by our name.
        field_names (dict): The field's name of each tensor, by ours.
        num_params (int): Number of parameters.
    """

    name: str
    model: dict
    shapes: Shapes
    field_names: dict[str, str]
    num_params: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.model['head']['num_classes']


class Misfit(NamedTuple):
    """How the tensors of a file differ from those of a network.

    Attributes:
        agreeing (int): Number of tensors that are as they should be.
        missing (list[str]): Keys that the file lacks.
        unexpected (list[str]): Keys that the network doesn't have.
        wrong (list[str]): Keys with another shape, and both shapes.
    """

    agreeing: int
    missing: list[str]
    unexpected: list[str]
    wrong: list[str]

    @property
    def size(self) -> int:
        """Number of tensors that differ."""
        return len(self.missing) + len(self.unexpected) + len(self.wrong)

    @property
    def overlap(self) -> float:
        """Share of the keys that file and network have in common, 0 to 1."""
        return (self.agreeing + len(self.wrong)) / (self.agreeing + self.size)

    def __str__(self) -> str:
        parts = []
        for rule, keys in (
            ('missing', self.missing),
            ('unexpected', self.unexpected),
            ('of another shape', self.wrong),
        ):
            if keys:
                more = ', ...' if len(keys) > NUM_EXAMPLES else ''
                parts.append(
                    f'{len(keys)} {rule} '
                    f'({", ".join(keys[:NUM_EXAMPLES])}{more})'
                )
        return f'{self.agreeing} tensors agree, but ' + ', '.join(parts)


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


def get_network(arch: str, num_classes: int) -> Network:
    """Get one of the field's networks by its name.

    Args:
        arch (str): Name as in the field or in our configs, such as
            "wrn_40_2" or "wrn40-2". Upper and lower case are the same.
        num_classes (int): Number of classes, >= 1.

    Returns:
        Network: The network.

    Raises:
        ValueError: If there is no such network.
    """
    return _make_network(*_find_family(arch), num_classes)


def _find_family(arch: str) -> tuple[str, Family]:
    """Find our name of a network, and its family."""
    name = arch.lower().replace('_', '-').replace('wrn-', 'wrn')
    name = name.replace('shufflev', 'shufflenetv')
    for family in FAMILIES:
        if re.fullmatch(family.pattern, name):
            return name, family
    raise ValueError(
        f'arch should be one of {_list_names()}, but got {arch!r}.'
    )


def _list_names() -> str:
    return ', '.join(family.names for family in FAMILIES)


def _make_network(name: str, family: Family, num_classes: int) -> Network:
    backbone, channels = family.configure(re.fullmatch(family.pattern, name))
    model = dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=channels,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )
    module = MODELS.build(model)
    shapes = _shapes(module.state_dict())
    return Network(
        name,
        model,
        shapes,
        {key: _field_name(key, family) for key in shapes},
        sum(p.numel() for p in module.parameters()),
    )


def _shapes(state_dict: dict[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state_dict.items()}


def _field_name(key: str, family: Family) -> str:
    """Translate our name of a tensor to the field's."""
    if key.startswith('head.fc.'):
        return key.replace('head.fc', family.classifier)
    key = key[len('backbone.') :]
    for pattern, replacement in family.rules:
        key = re.sub(pattern, replacement, key)
    return key


def compare(shapes: Shapes, network: Network) -> Misfit:
    """Compare the tensors of a file with those of a network.

    The counters of BN's batches are left out: PyTorch saves them only since
    version 0.4.1, and they change nothing in evaluation.

    Args:
        shapes (dict): Shape of each tensor, by the field's name.
        network (Network): What it might be.

    Returns:
        Misfit: How they differ.
    """
    expected = {
        field_name: network.shapes[key]
        for key, field_name in network.field_names.items()
        if not field_name.endswith(COUNTER)
    }
    shapes = {
        key: shape
        for key, shape in shapes.items()
        if not key.endswith(COUNTER)
    }
    missing = [key for key in expected if key not in shapes]
    wrong = [
        f'{key} is {shapes[key]} and not {shape}'
        for key, shape in expected.items()
        if shapes.get(key, shape) != shape
    ]
    return Misfit(
        agreeing=len(expected) - len(missing) - len(wrong),
        missing=missing,
        unexpected=[key for key in shapes if key not in expected],
        wrong=wrong,
    )


def identify(shapes: Shapes) -> tuple[Network, Misfit]:
    """Find the network that is nearest to the tensors of a file.

    Each family suggests one network, by what depth and width the shapes
    tell, with as many classes as its classifier has. Families whose
    classifier has the right name come first, as each one is built.

    Args:
        shapes (dict): Shape of each tensor, by the field's name.

    Returns:
        tuple[Network, Misfit]: The network, and how the tensors differ from
        its. They don't if the misfit's ``size`` is 0.
    """
    found = []
    for family in sorted(
        FAMILIES,
        key=lambda family: f'{family.classifier}.weight' not in shapes,
    ):
        network = _make_network(
            family.guess(shapes), family, _num_classes(shapes, family)
        )
        found.append((network, compare(shapes, network)))
        if not found[-1][1].size:
            break
    return max(found, key=lambda pair: pair[1].overlap)


def _num_classes(shapes: Shapes, family: Family) -> int:
    return _size(shapes, f'{family.classifier}.weight', 100)


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
