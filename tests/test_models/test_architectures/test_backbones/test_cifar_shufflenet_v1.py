import pytest
import torch
from torch import nn

from mmdskd.models import CIFARShuffleNetV1


def test_groups_of_the_convolutions():
    backbone = CIFARShuffleNetV1()
    first, second = backbone.layer1[:2]
    convs = [
        (unit.conv1.conv, unit.conv2.conv, unit.conv3.conv)
        for unit in (first, second)
    ]
    assert [[conv.groups for conv in unit] for unit in convs] == [
        [1, 54, 3],
        [3, 60, 3],
    ]
    # The 24 channels of the stem are joined to 216 new ones.
    assert first.conv3.conv.out_channels == 216
    assert isinstance(first.downsample, nn.AvgPool2d)
    assert second.downsample is None
    assert backbone.layer2[0].conv1.conv.groups == 3


def test_shuffle_stands_before_the_depthwise_convolution():
    torch.manual_seed(0)
    unit = CIFARShuffleNetV1().eval().layer1[1]
    x = torch.rand(1, 240, 4, 4)
    out = unit.conv1(x)
    # 3 groups of 20: channel 1 comes from group 1, and so on.
    order = [20 * (i % 3) + i // 3 for i in range(60)]
    expected = unit.conv3(unit.conv2(out[:, order])) + x
    torch.testing.assert_close(unit(x), expected.relu())


def test_other_groups():
    backbone = CIFARShuffleNetV1(
        groups=2, stage_channels=(200, 400, 800), out_indices=(0, 1, 2)
    )
    feats = backbone.eval()(torch.rand(1, 3, 16, 16))
    assert [feat.size(1) for feat in feats] == [200, 400, 800]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(groups=5), 'groups should divide .* got groups=5 .* makes 216'),
        (dict(groups=0), 'groups should divide .* got groups=0'),
        (dict(groups='3'), "groups should divide .* got groups='3'"),
        (
            dict(stage_channels=(240, 480)),
            r'stage_channels should .* 3 whole '
            r'.* got \(240, 480\)',
        ),
        (dict(stage_channels=(24, 48, 96)), 'groups should .* makes 0'),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CIFARShuffleNetV1(**kwargs)
