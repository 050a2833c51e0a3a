import pytest
import torch
from mmpretrain.models.backbones import ShuffleNetV2

from mmdskd.models import CIFARShuffleNetV2


def test_is_mmpretrains_but_for_the_stem():
    theirs = ShuffleNetV2(0.5)
    theirs.eval()
    ours = CIFARShuffleNetV2(0.5).eval()
    for i, name in enumerate(ours.STAGES):
        getattr(ours, name).load_state_dict(theirs.layers[i].state_dict())
    ours.conv2.load_state_dict(theirs.layers[3].conv.state_dict())
    ours.bn2.load_state_dict(theirs.layers[3].bn.state_dict())
    x = torch.rand(1, 3, 16, 16)
    feat = ours.relu(ours.bn1(ours.conv1(x)))
    for layer in theirs.layers:
        feat = layer(feat)
    torch.testing.assert_close(ours(x)[0], feat)


@pytest.mark.parametrize(
    'widen_factor, channels',
    [
        (0.5, (48, 96, 1024)),
        (1.0, (116, 232, 1024)),
        (1.5, (176, 352, 1024)),
        (2.0, (224, 488, 2048)),
    ],
)
def test_widths(widen_factor, channels):
    backbone = CIFARShuffleNetV2(widen_factor, out_indices=(0, 1, 2)).eval()
    feats = backbone(torch.rand(1, 3, 16, 16))
    assert tuple(feat.size(1) for feat in feats) == channels


def test_errors():
    with pytest.raises(
        ValueError,
        match=r'widen_factor should be one of \[0.5, 1.0, 1.5, 2.0\], '
        'but got 0.75',
    ):
        CIFARShuffleNetV2(0.75)
