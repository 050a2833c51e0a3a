import pytest
import torch

from mmdskd.models import CIFARMobileNetV2


def test_widths_are_cut_not_rounded():
    backbone = CIFARMobileNetV2(0.7, out_indices=(0, 1, 2, 3)).eval()
    feats = backbone(torch.rand(1, 3, 32, 32))
    # 0.7 of 24, 32, 96; the head never gets narrower.
    assert [feat.size(1) for feat in feats] == [16, 22, 67, 1280]
    wide = CIFARMobileNetV2(1.5, expand_ratio=2).eval()
    assert wide(torch.rand(1, 3, 32, 32))[0].size(1) == 1920


def test_stage_ends_in_a_linear_convolution():
    torch.manual_seed(0)
    backbone = CIFARMobileNetV2(out_indices=(0, 1, 2, 3)).eval()
    feats = backbone(torch.rand(1, 3, 32, 32))
    assert [bool((feat < 0).any()) for feat in feats] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (
            dict(widen_factor=0.01),
            'widen_factor should be a number >= 0.0625.* 0.01',
        ),
        (dict(widen_factor='1'), "widen_factor should .* got '1'"),
        (dict(expand_ratio=1), 'expand_ratio should .*>= 2, but got 1'),
        (dict(expand_ratio=1.5), 'expand_ratio should .* but got 1.5'),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CIFARMobileNetV2(**kwargs)
