"""FLOPs of networks and of their parts."""

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmdskd.analysis.flops import count_flops, count_flops_until


class Network(nn.Module):
    """A stem that computes by itself, as well, and two stages."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(3, 4, bias=False)
        self.mixer = nn.Parameter(torch.eye(5))
        self.stages = nn.Sequential(
            nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU()),
            nn.Linear(6, 7, bias=False),
        )
        self.aside = nn.Linear(7, 7)

    def forward(self, x):
        x = torch.matmul(self.mixer, self.stem(x))
        return torch.matmul(self.mixer, self.stages(x))


STEM, MIXER, FIRST, SECOND = 5 * 3 * 4, 5 * 5 * 4, 5 * 4 * 6, 5 * 6 * 7
LAST = 5 * 5 * 7


def test_flops_are_multiply_adds():
    conv = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    flops = count_flops(conv, torch.zeros(1, 3, 4, 6))
    assert flops == 3 * 5 * 9 * 4 * 6


@pytest.mark.parametrize(
    'source, expected',
    [
        ('stem', STEM),
        ('stages.0.0', STEM + MIXER + FIRST),
        ('stages.0', STEM + MIXER + FIRST),
        ('stages', STEM + MIXER + FIRST + SECOND),
        ('', STEM + MIXER + FIRST + SECOND + LAST),
    ],
)
def test_flops_until(source, expected):
    network = Network()
    x = torch.zeros(1, 5, 3)
    assert count_flops_until(network, source, x) == expected
    # It leaves nothing behind.
    assert not any(module._forward_hooks for module in network.modules())
    assert count_flops(network, x) == STEM + MIXER + FIRST + SECOND + LAST


def test_modules_alone_would_miss_some():
    analyzer = FlopAnalyzer(Network(), (torch.zeros(1, 5, 3),))
    modules = analyzer.by_module()
    assert modules['stem'] + modules['stages.0'] == STEM + FIRST


def test_part_that_does_not_run():
    with pytest.raises(
        RuntimeError, match="'aside' should run in the forward of Net"
    ):
        count_flops_until(Network(), 'aside', torch.zeros(1, 5, 3))


@pytest.mark.parametrize(
    'name, source',
    [('mmdskd.CIFARResNet', 'relu'), ('SwinTransformer', 'stages.3')],
)
def test_flops_until_the_end_are_all(name, source):
    cfg = dict(type=name)
    if name == 'SwinTransformer':
        cfg.update(
            arch=dict(
                embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2]
            ),
            img_size=64,
            window_size=2,
        )
    else:
        cfg.update(depth=8)
        source = 'layer3'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(cfg)
    backbone.eval()
    image = torch.zeros(1, 3, 64, 64)
    until = count_flops_until(backbone, source, image)
    # Swin normalises once more.
    rest = (
        count_flops(backbone.norm3, torch.zeros(1, 4, 64))
        if hasattr(backbone, 'norm3')
        else 0
    )
    assert until + rest == count_flops(backbone, image)
