import pytest
from networks import (
    ChannelsLast,
    Parallel,
    Split,
    classifier,
    hrnet,
    swin,
    vit,
)
from torch import nn

from mmdskd.models import FeatureLayout
from mmdskd.pairing.network_outline import NetworkOutline


def describe(features):
    return [f'{feature.name} {feature.shape}' for feature in features]


CASES = [
    pytest.param(
        lambda: classifier(dict(type='ResNet', depth=18), channels=512),
        (3, 64, 64),
        [
            'backbone.layer1 64x16x16',
            'backbone.layer2 128x8x8',
            'backbone.layer3 256x4x4',
        ],
        'backbone.layer4 512x2x2',
        'head.fc',
        id='ResNet: the stem is no stage',
    ),
    pytest.param(
        lambda: classifier(dict(type='MobileNetV2'), channels=1280),
        (3, 64, 96),
        [
            'backbone.layer2 24x16x24',
            'backbone.layer3 32x8x12',
            'backbone.layer5 96x4x6',
        ],
        'backbone.conv2 1280x2x3',
        'head.fc',
        id='MobileNetV2: two layers of a size are one stage',
    ),
    pytest.param(
        lambda: classifier(
            dict(type='VGG', depth=11, num_classes=7),
            dict(type='ClsHead'),
            neck=None,
        ),
        (3, 224, 224),
        [
            'backbone.features.5 256x56x56',
            'backbone.features.8 512x28x28',
            'backbone.features.11 512x14x14',
        ],
        'backbone.features.12 512x7x7',
        'backbone.classifier.6',
        id='VGG: layers in a list, and a classifier in the backbone',
    ),
    pytest.param(
        lambda: classifier(
            dict(type='ConvNeXt', arch='atto'),
            dict(type='LinearClsHead', num_classes=7, in_channels=320),
            None,
        ),
        (3, 64, 64),
        [
            'backbone.stages.0 40x16x16',
            'backbone.stages.1 80x8x8',
            'backbone.stages.2 160x4x4',
        ],
        'backbone.stages.3 320x2x2',
        'head.fc',
        id='ConvNeXt: what comes after pooling is no feature',
    ),
    pytest.param(
        vit,
        (3, 32, 32),
        [
            'backbone.layers.1 8x4x4 (16 + 1 tokens)',
            'backbone.layers.3 8x4x4 (16 + 1 tokens)',
            'backbone.layers.5 8x4x4 (16 + 1 tokens)',
        ],
        'backbone.ln1 8x4x4 (16 + 1 tokens)',
        'head.layers.head',
        id='ViT: even distances, and a class token',
    ),
    pytest.param(
        lambda: vit('DistilledVisionTransformer', 'DeiTClsHead'),
        (3, 32, 32),
        [
            'backbone.layers.1 8x4x4 (16 + 2 tokens)',
            'backbone.layers.3 8x4x4 (16 + 2 tokens)',
            'backbone.layers.5 8x4x4 (16 + 2 tokens)',
        ],
        'backbone.ln1 8x4x4 (16 + 2 tokens)',
        'head',
        id='DeiT: two more tokens, and logits of two layers',
    ),
    pytest.param(
        swin,
        (3, 64, 64),
        [
            'backbone.stages.0 8x32x32 (1024 tokens)',
            'backbone.stages.1 16x16x16 (256 tokens)',
            'backbone.stages.2 32x8x8 (64 tokens)',
        ],
        'backbone.norm3 64x4x4 (16 tokens)',
        'head.fc',
        id='Swin: tokens beside their grid',
    ),
]


@pytest.mark.parametrize('build, shape, branches, last, logits', CASES)
def test_families(build, shape, branches, last, logits):
    outline = NetworkOutline(build(), shape)
    assert describe(outline.find_branches()) == branches
    assert describe([outline.last]) == [last]
    assert outline.logits == logits
    assert outline.num_classes == 7


def test_channels_last_in_a_network_of_no_library():
    outline = NetworkOutline(ChannelsLast(), (3, 16, 16))
    assert describe(outline.find_branches()) == [
        'stages.0 4x8x8 (NHWC)',
        'stages.1 6x4x4 (NHWC)',
    ]
    assert outline.last.layout == FeatureLayout('NHWC')
    assert (outline.logits, outline.num_classes) == ('fc', 5)


def test_number_of_branches():
    outline = NetworkOutline(
        classifier(dict(type='ResNet', depth=18), channels=512), (3, 64, 64)
    )
    names = [f.name for f in outline.find_branches(2)]
    assert names == ['backbone.layer2', 'backbone.layer3']
    names = [
        f.name for f in NetworkOutline(vit(), (3, 32, 32)).find_branches(7)
    ]
    assert names == [f'backbone.layers.{i}' for i in range(7)]
    for number in (0, 99):
        with pytest.raises(
            ValueError,
            match=r'number of branches should be 1 to \d+ for network, '
            rf'but got {number}; its shallow layers are backbone',
        ):
            outline.find_branches(number)


class TwoStreams(nn.Module):
    """Blocks that hand on two features, as those of RevViT and TNT do."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 4, 4, 4)
        self.blocks = nn.ModuleList(Split() for _ in range(3))
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = self.patch_embed(x)
        for block in self.blocks:
            x, _ = block(x)
        return self.fc(self.relu(self.norm(x)).mean((2, 3)))


def test_stem_and_norms_are_no_blocks():
    outline = NetworkOutline(TwoStreams(), (3, 16, 16))
    assert describe([outline.last]) == ['relu 4x4x4']
    for number in (None, 1):
        with pytest.raises(
            ValueError,
            match='network, a TwoStreams, should have blocks or stages '
            'that each return one feature, .* choose from patch_embed, '
            'norm, relu$',
        ):
            outline.find_branches(number)


class SharedPosition(ChannelsLast):
    """A module in two places, and pooling by a module."""

    def __init__(self):
        super().__init__()
        self.stages[0].position = nn.Sequential(nn.Identity())
        self.position = self.stages[0].position
        self.pool = nn.AdaptiveAvgPool1d(1)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for stage in self.stages:
            x = stage(x[:, ::2, ::2])
        x = self.pool(x.flatten(1, 2).mT)
        return self.fc(x.flatten(1))


def test_a_module_in_two_places():
    network = SharedPosition()
    assert describe(NetworkOutline(network, (3, 16, 16)).find_branches()) == [
        'stages.0 4x8x8 (NHWC)',
        'stages.1 6x4x4 (NHWC)',
    ]


def test_stem_trunk_and_pooling_are_no_sequence():
    # As in torchvision's RegNet: the stages are within the trunk.
    def stage(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.Conv2d(o, o, 1))

    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Sequential(stage(4, 4), stage(4, 6), stage(6, 8)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    outline = NetworkOutline(network, (3, 32, 32))
    assert describe(outline.find_branches()) == ['1.0 4x8x8', '1.1 6x4x4']
    assert describe([outline.last]) == ['1.2 8x2x2']


def test_last_feature_of_a_neck():
    """HRNet's backbone returns four features, its neck makes one of them."""
    outline = NetworkOutline(hrnet(), (3, 64, 64))
    assert describe([outline.last]) == ['neck.0 2048x2x2']
    # A stage returns several features, the layers before them one each.
    assert describe(outline.find_branches()) == [
        'backbone.transition1.0 18x16x16'
    ]
    assert outline.logits == 'head.fc'


class Necked(nn.Module):
    """A backbone of two features, and an attention that pools their sum."""

    def __init__(self, neck):
        super().__init__()
        self.backbone = Backbone()
        self.neck = neck
        self.pool = AttentionPool()
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.neck(sum(self.backbone(x)))
        return self.fc(self.pool(x.flatten(1, 2)))


class Backbone(Parallel):
    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for stage in self.stages:
            x = stage(x[:, ::2, ::2])
        return self.split(x)


class AttentionPool(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Linear(8, 3)
        self.values = nn.Linear(8, 8)

    def forward(self, x):
        scores = self.scores(x).mean(dim=2, keepdim=True).softmax(dim=1)
        return (scores * self.values(x)).sum(dim=1)


@pytest.mark.parametrize(
    'neck, expected',
    [
        (nn.Linear(8, 8), 'neck 8x2x2 (NHWC)'),
        (nn.Sequential(nn.Linear(8, 8), nn.ReLU()), 'neck 8x2x2 (NHWC)'),
        # Nothing that has no weights makes a feature of its own.
        (nn.Sequential(nn.Identity(), nn.ReLU()), None),
    ],
)
def test_last_feature_is_what_is_handed_on(neck, expected):
    outline = NetworkOutline(Necked(neck), (3, 16, 16))
    found = outline.last and describe([outline.last])[0]
    assert found == expected


def test_last_feature_is_not_guessed():
    outline = NetworkOutline(Parallel(), (3, 16, 16))
    assert outline.last is None
    assert [f.name for f in outline.find_branches()] == [
        'stages.0',
        'stages.1',
    ]
