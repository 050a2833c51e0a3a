"""How outputs of modules are read."""

import pytest
import torch
from torch import nn

from mmdskd.models import FeatureLayout
from mmdskd.pairing.feature import Feature, read_feature, read_features
from mmdskd.pairing.recorded_forward import RecordedForward

SQUARE = FeatureLayout('NLC')


@pytest.mark.parametrize(
    'shape, image_size, expected',
    [
        ((2, 5, 8, 8), (32, 32), ('NCHW', 5, (8, 8))),
        ((2, 8, 8, 5), (32, 32), ('NHWC', 5, (8, 8))),
        # As padding makes it one larger or smaller.
        ((2, 5, 9, 13), (64, 96), ('NCHW', 5, (9, 13))),
        ((2, 5, 4, 8), (32, 32), None),  # no such image
        ((2, 16, 5), (32, 32), ('NLC', 5, (4, 4))),
        ((2, 1, 9), (32, 32), ('NLC', 9, (1, 1))),
        ((2, 9, 1), (32, 32), None),  # pooled tokens
        ((3, 5, 8, 8), (32, 32), None),  # not of the batch of 2 images
        ((2, 5), (32, 32), None),
    ],
)
def test_shapes(shape, image_size, expected):
    feature = read_feature('a', nn.Identity(), torch.rand(shape), image_size)
    if expected is None:
        assert feature is None
    else:
        order, channels, grid = expected
        assert feature == Feature('a', FeatureLayout(order), channels, grid, 0)


@pytest.mark.parametrize(
    'count, grids, extra, grid_size, grid',
    [
        (17, [], 1, None, (4, 4)),
        (18, [], 2, None, (4, 4)),
        # A grid that is known goes before a square.
        (16, [(3, 5)], 1, (3, 5), (3, 5)),
        (16, [(4, 4)], 0, None, (4, 4)),
    ],
)
def test_tokens(count, grids, extra, grid_size, grid):
    feature = read_feature(
        'a', nn.Identity(), torch.rand(2, count, 8), (32, 32), grids
    )
    assert feature.layout == FeatureLayout('NLC', extra, grid_size)
    assert (feature.channels, feature.grid) == (8, grid)


def test_too_many_extra_tokens():
    # 25 is 9 more than 16, and the next square is 25 - 0.
    tokens = torch.rand(2, 24, 8)
    assert read_feature('a', nn.Identity(), tokens, (32, 32)).grid == (4, 4)
    tokens = torch.rand(2, 35, 8)
    assert read_feature('a', nn.Identity(), tokens, (32, 32)) is None


def test_what_is_no_feature():
    for outputs in (
        torch.zeros(2, 5, 8, 8, dtype=torch.long),
        (torch.rand(2, 5, 8, 8), torch.rand(2, 5, 8, 8)),
        None,
        'text',
    ):
        assert read_feature('a', nn.Identity(), outputs, (32, 32)) is None


def test_layers_and_pooling():
    module = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Linear(8, 8))
    maps = torch.rand(2, 5, 8, 8)
    assert read_feature('a', module, maps, (32, 32)).num_layers == 2
    pooled = torch.rand(2, 5, 1, 1)
    pool = nn.AdaptiveAvgPool2d(1)
    assert read_feature('a', pool, pooled, (32, 32)).is_pooled
    assert not read_feature('a', module, pooled, (32, 32)).is_pooled


def test_grids_that_modules_return():
    """They tell how tokens of other modules are laid out."""
    tokens = torch.rand(2, 18, 4)
    run = RecordedForward(
        None,
        dict(a=tokens, b=(tokens, (3, 6)), c=tokens, d=None),
        changed={'c'},
    )
    modules = dict.fromkeys('abcd', nn.Identity())
    found = read_features(run, modules, (48, 96))
    assert list(found) == ['a', 'b']
    assert found['a'].layout == FeatureLayout('NLC', 0, (3, 6))
    assert found['b'].layout == SQUARE
    assert found['a'].grid == found['b'].grid == (3, 6)
