import pytest
import torch
from networks import ChannelsLast, Parallel, Split, classifier, swin, vit
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


def test_leaves_the_network_as_it_was():
    network = ChannelsLast()
    network.norm.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    rng = torch.get_rng_state()
    NetworkOutline(network, (3, 16, 16))
    assert torch.equal(torch.get_rng_state(), rng)
    assert network.training and not network.norm.training
    assert network.stages[0][1].inplace
    assert not any(m._forward_hooks for m in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


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


def test_pooled_tokens_are_no_feature():
    # (N, 9, 1) could be 9 tokens of one channel.
    network = SharedPosition()
    network.stages[2][2] = nn.Linear(8, 9)
    network.fc = nn.Linear(9, 5)
    outline = NetworkOutline(network, (3, 16, 16))
    assert describe([outline.last]) == ['stages.2 9x2x2 (NHWC)']


class Odd(ChannelsLast):
    """Modules that give no feature for a branch."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Linear(3, 3)
        self.twice = nn.Identity()
        self.spoilt = nn.Identity()
        self.first = nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.twice(self.twice(x))
        x = self.spoilt(x * 2)
        x += 1
        return super().forward(x)


@pytest.mark.parametrize(
    'name, error, message',
    [
        (
            'idle',
            ValueError,
            "'idle' of network gives no feature for a branch: it "
            'does not run in the forward; choose from first, stages.0',
        ),
        ('twice', ValueError, "'twice' of .*: it runs more than once"),
        (
            'spoilt',
            ValueError,
            "'spoilt' of .*: its output is changed in place",
        ),
        ('fc', ValueError, "'fc' of .* its output is not one tensor of maps"),
        (
            'stages.3',
            KeyError,
            "'stages.3' is not a module of network; did you mean stages.",
        ),
        ('', KeyError, "'' is not a module"),
    ],
)
def test_modules_without_a_feature(name, error, message):
    outline = NetworkOutline(Odd(), (3, 16, 16))
    with pytest.raises(error, match=message):
        outline.feature(name)


class TwoOutputs(ChannelsLast):
    def forward(self, x):
        return super().forward(x), x


def test_what_is_no_classifier():
    with pytest.raises(
        ValueError,
        match=r'the teacher should be a classifier, which returns logits '
        r'\(N, K\), but TwoOutputs returns a tuple',
    ):
        NetworkOutline(TwoOutputs(), (3, 16, 16), 'the teacher')
    with pytest.raises(ValueError, match=r'Conv2d returns a tensor of shape'):
        NetworkOutline(nn.Conv2d(3, 3, 1), (3, 16, 16))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    with pytest.raises(ValueError, match='sequence of at least three modules'):
        NetworkOutline(flat, (3, 2, 2))


def test_images_that_do_not_fit():
    with pytest.raises(
        RuntimeError,
        match=r'network, a ImageClassifier, does not run on images of '
        r'shape \(1, 32, 32\) \(.*\). Is this the shape of its images',
    ):
        NetworkOutline(vit(), (1, 32, 32))


def test_last_feature_is_not_guessed():
    outline = NetworkOutline(Parallel(), (3, 16, 16))
    assert outline.last is None
    assert [f.name for f in outline.find_branches()] == [
        'stages.0',
        'stages.1',
    ]
