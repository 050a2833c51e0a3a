"""The families of networks of the KD zoo.

RepDistiller, SemCKD, SimKD and mdistiller share their networks for CIFAR-100
and Tiny-ImageNet, and the names of the parameters in them: the KD zoo. For
each family, this module says how the zoo's names follow from ours, and which
depth and width the shapes of a checkpoint suggest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Union

from mmdskd.models import CIFARVGG, CIFARShuffleNetV2

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Family:
    """Networks that differ in depth and width only.

    Attributes:
        names (str): Names of the networks, for messages.
        pattern (str): Regular expression of a whole name.
        classifier (str): Name of the last linear layer in the zoo.
        rules (Sequence[tuple]): Patterns and replacements as of
            :func:`re.sub`, which make the name of a tensor in the zoo from
            ours in the backbone.
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


def num_outputs(shapes: Shapes, key: str, default: int) -> int:
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
    channels = num_outputs(shapes, 'layer1.0.conv1.weight', 16)
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
    width = num_outputs(shapes, 'block1.layer.0.conv1.weight', 16) // 16
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


# The width factor in a name, as "1-5", unless it is the default.
WIDTH = r'(?:-(?P<width>\d+-\d+))?'


def _width_suffix(width: float, default: float) -> str:
    return '' if width == default else f'-{width}'.replace('.', '-')


def _configure_width(backbone: dict, match: re.Match, default: float) -> float:
    """Set in ``backbone`` the width that a name tells, and return it."""
    width = float((match['width'] or str(default)).replace('-', '.'))
    if width != default:
        backbone['widen_factor'] = width
    return width


# Groups and blocks of the zoo in our stages; the first block is in two.
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
    channels = num_outputs(shapes, 'blocks.6.0.conv.6.weight', 160)
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
    channels = 2 * num_outputs(shapes, 'layer1.0.conv2.weight', 58)
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
