import pytest
import torch
from mmrazor.models.architectures.backbones.wideresnet import WideResNet

from mmdskd.models import CIFARWideResNet


@pytest.mark.parametrize('depth, widen_factor', [(10, 1), (16, 2)])
def test_is_mmrazors(depth, widen_factor):
    """Same weights, same last feature, where MMRazor has the depth."""
    theirs = WideResNet(depth, widen_factor, norm_eval=False).eval()
    ours = CIFARWideResNet(depth, widen_factor).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])


def test_any_depth_and_width():
    backbone = CIFARWideResNet(34, 3, out_indices=(0, 1, 2)).eval()
    assert [len(getattr(backbone, name)) for name in backbone.STAGES] == [
        5,
        5,
        5,
    ]
    feats = backbone(torch.rand(1, 3, 8, 8))
    assert [feat.size(1) for feat in feats] == [48, 96, 192]


def test_only_the_last_stage_is_activated():
    torch.manual_seed(0)
    backbone = CIFARWideResNet(10, out_indices=(0, 1, 2)).eval()
    feats = backbone(torch.randn(1, 3, 8, 8))
    assert [bool((feat < 0).any()) for feat in feats] == [True, True, False]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(depth=20), r'depth should be 6n \+ 4 .*10, 16, 22.* got 20'),
        (dict(depth=4), 'depth should be .* got 4'),
        (dict(depth='16'), "depth should be .* got '16'"),
        (
            dict(depth=16, widen_factor=0),
            'widen_factor should .*>= 1, .*got 0',
        ),
        (dict(depth=16, widen_factor=1.5), 'widen_factor should .* got 1.5'),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CIFARWideResNet(**kwargs)
