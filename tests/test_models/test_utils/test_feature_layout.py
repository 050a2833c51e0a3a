import pytest
import torch

from mmdskd.models import FeatureLayout

# Height 2, width 3: each value tells its position.
MAP = torch.arange(2 * 4 * 2 * 3).view(2, 4, 2, 3)
TOKENS = MAP.flatten(2).transpose(1, 2)


@pytest.mark.parametrize(
    'layout, feature',
    [
        ('NCHW', MAP),
        ('NHWC', MAP.permute(0, 2, 3, 1)),
        (dict(order='NLC', grid_size=(2, 3)), TOKENS),
        (
            dict(order='NLC', grid_size=[2, 3], num_extra_tokens=2),
            torch.cat([TOKENS[:, :2], TOKENS], 1),
        ),
        ('NLC', (TOKENS, (2, 3))),
        ('NLC', [TOKENS, torch.Size([2, 3])]),
        ('NCHW', (MAP,)),
    ],
)
def test_all_come_to_the_same_map(layout, feature):
    parsed = FeatureLayout.parse(layout)
    assert torch.equal(parsed.to_map(feature), MAP)
    assert FeatureLayout.parse(parsed) == parsed
    assert FeatureLayout.parse(parsed.config) == parsed


def test_config_says_no_more_than_it_must():
    assert FeatureLayout().config == 'NCHW'
    assert FeatureLayout('NLC').config == 'NLC'
    assert FeatureLayout('NLC', 1).config == dict(
        order='NLC', num_extra_tokens=1
    )


def test_a_square_is_taken_where_nothing_else_is_known():
    feature_map = FeatureLayout.parse('NLC').to_map(torch.rand(1, 16, 5))
    assert feature_map.shape == (1, 5, 4, 4)


@pytest.mark.parametrize(
    'layout, feature, message',
    [
        ('NCHW', TOKENS, r'shape \(N, C, H, W\), but got \(2, 6, 4\)'),
        ('NLC', MAP, r'shape \(N, L, C\), but got \(2, 4, 2, 3\)'),
        (
            'NLC',
            TOKENS,
            'grid 2 x 2 after num_extra_tokens=0 others, but got 6',
        ),
        (dict(order='NLC', num_extra_tokens=6), TOKENS, 'but got 6 tokens'),
        (dict(order='NLC', grid_size=(3, 3)), TOKENS, 'grid 3 x 3'),
    ],
)
def test_wrong_shape(layout, feature, message):
    with pytest.raises(ValueError, match=message):
        FeatureLayout.parse(layout).to_map(feature)


@pytest.mark.parametrize(
    'layout, message',
    [
        ('NCL', "one of NCHW, NHWC, NLC, but got 'NCL'"),
        (dict(order='NLC', num_extra_tokens=-1), 'whole number >= 0'),
        (dict(order='NLC', grid_size=7), 'or None, but got 0 and 7'),
        (dict(order='NLC', grid_size=(7,)), 'or None, but got'),
        (dict(num_extra_tokens=1), 'go with the order NLC'),
        (3, 'A layout should be one of'),
    ],
)
def test_wrong_layout(layout, message):
    with pytest.raises(ValueError, match=message):
        FeatureLayout.parse(layout)
