"""Sequences whose trunk is one module, as those of timm."""

import pytest
from torch import nn

from mmdskd.pairing.network_outline import NetworkOutline


def stage(i, o, stride=2):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1), nn.Conv2d(o, o, 1))


class Maps(nn.Module):
    """Stem, one trunk and a norm, of maps."""

    def __init__(self, trunk, channels, tail=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.trunk = trunk
        self.norm = nn.BatchNorm2d(channels)
        self.tail = tail or nn.Linear(channels, 5)

    def forward(self, x):
        x = self.norm(self.trunk(self.stem(x)))
        return self.tail(x.mean((2, 3)) if is_linear(self.tail) else x)


def is_linear(module):
    return isinstance(module, nn.Linear)


class Plain(nn.Module):
    """A transformer of timm: its blocks are one ``Sequential``."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 8, 8, 8)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
                for _ in range(8)
            )
        )
        self.token_blocks = nn.ModuleList(stage_of_tokens() for _ in range(2))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).mT
        x = self.blocks(x)
        token = x[:, :1]
        for block in self.token_blocks:
            token = block(token)
        return self.head(self.norm(x + token)[:, 0])


def stage_of_tokens():
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def names(features):
    return [feature.name for feature in features]


def test_trunk_of_several_sizes_is_opened():
    trunk = nn.Sequential(stage(4, 4), stage(4, 6), stage(6, 8))
    outline = NetworkOutline(Maps(trunk, 8), (3, 64, 64))
    assert names(outline.layers) == [
        'stem',
        'trunk.0',
        'trunk.1',
        'trunk.2',
        'norm',
    ]
    assert names(outline.find_branches()) == ['trunk.0', 'trunk.1']
    assert outline.last.name == 'norm'


def test_trunk_of_trunks_is_opened():
    trunk = nn.Sequential(
        nn.Sequential(stage(4, 4), stage(4, 6)),
        nn.Sequential(stage(6, 6, 1), stage(6, 8)),
    )
    outline = NetworkOutline(Maps(trunk, 8), (3, 64, 64))
    assert names(outline.find_branches()) == ['trunk.0.0', 'trunk.1.0']


def test_stage_of_one_size_stays_whole():
    def blocks(i, o):
        return nn.Sequential(stage(i, o), stage(o, o, 1))

    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        blocks(4, 4),
        blocks(4, 6),
        blocks(6, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    outline = NetworkOutline(network, (3, 64, 64))
    assert names(outline.find_branches()) == ['1', '2']
    assert outline.last.name == '3'


def test_blocks_of_a_plain_network_are_opened():
    """Blocks of the class token alone are no layers of the sequence."""
    outline = NetworkOutline(Plain(), (3, 32, 32))
    assert names(outline.find_branches()) == [
        'blocks.1',
        'blocks.3',
        'blocks.5',
    ]
    assert 'token_blocks.0' not in names(outline.layers)
    assert outline.last.name == 'norm'


@pytest.mark.parametrize(
    'tail',
    [
        # As SqueezeNet: class scores of each position.
        (nn.Conv2d(8, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        # As MobileNetV3: a convolution after pooling.
        (nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 5, 1)),
        # As the VGG of timm: a convolution that pools.
        (nn.Conv2d(8, 16, 8), nn.ReLU(), nn.Conv2d(16, 5, 1)),
    ],
)
def test_last_feature_is_before_pooling_and_scores(tail):
    trunk = nn.Sequential(stage(4, 4), stage(4, 8))
    network = Maps(trunk, 8, nn.Sequential(*tail, nn.Flatten()))
    outline = NetworkOutline(network, (3, 64, 64))
    assert outline.last.name == 'norm'
