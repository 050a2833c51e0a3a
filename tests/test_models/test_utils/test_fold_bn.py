import pytest
import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdskd.models.utils.fold_bn import find_foldable, fold


def with_statistics(model):
    """Give the batch norms statistics and weights that are not trivial."""
    torch.manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.uniform_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 2)
                nn.init.uniform_(norm.bias)
    model.eval()  # which returns None for some
    return model


IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def pairs_of(model, images=IMAGES, recorded=()):
    return find_foldable(model, lambda: [model(images)], recorded)


class Shuffled(nn.Module):
    """Registered in another order than it runs."""

    def __init__(self):
        super().__init__()
        self.bn2 = nn.BatchNorm2d(5)
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.conv2 = nn.Conv2d(4, 5, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))


def test_pairs_are_those_of_the_forward():
    model = with_statistics(Shuffled())
    expected = model(IMAGES)
    pairs = pairs_of(model)
    assert pairs == dict(bn1='conv1', bn2='conv2')
    conv1 = model.conv1

    undo = fold(model, pairs)
    assert isinstance(model.bn1, nn.Identity)
    assert isinstance(model.bn2, nn.Identity)
    torch.testing.assert_close(model(IMAGES), expected)
    undo()
    assert model.conv1 is conv1
    assert torch.equal(model(IMAGES), expected)


@pytest.mark.parametrize(
    'conv, norm, shape',
    [
        (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), (2, 3, 8)),
        (nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), (2, 3, 4, 4, 4)),
        (
            nn.Conv2d(4, 4, 3, groups=4),
            nn.BatchNorm2d(4, affine=False),
            (2, 4, 8, 8),
        ),
    ],
)
def test_kinds_of_convolution(conv, norm, shape):
    model = with_statistics(nn.Sequential(nn.Sequential(conv), norm))
    images = torch.rand(shape)
    expected = model(images)
    pairs = pairs_of(model, images)
    assert pairs == {'1': '0.0'}
    fold(model, pairs)
    torch.testing.assert_close(model(images), expected)


class Used(nn.Module):
    """One convolution and two batch norms, used in some way."""

    def __init__(self, use):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.bn = nn.BatchNorm2d(3)
        self.other = nn.BatchNorm2d(3)
        self.use = use

    def forward(self, x):
        return self.use(self, x)


@pytest.mark.parametrize('use', [
    lambda m, x: m.bn(m.conv(x).relu()),
    lambda m, x: m.bn(m.conv(x).relu_()),
    lambda m, x: m.bn(m.conv(x).add_(x)),
    lambda m, x: (lambda y: m.bn(y) + y)(m.conv(x)),
    lambda m, x: (lambda y: torch.cat([m.bn(y), y]))(m.conv(x)),
    lambda m, x: m.bn(m.conv(x)) + m.other(x) + m.bn(x),
    lambda m, x: m.bn(m.conv(m.conv(x))),
    lambda m, x: (lambda y: m.bn(y) + m.other(y))(m.conv(x)),
    lambda m, x: m.bn(x),
])  # yapf: disable
def test_what_is_not_folded(use):
    assert pairs_of(with_statistics(Used(use))) == {}


@pytest.mark.parametrize(
    'backbone, norms, folded',
    [
        (dict(type='mmdskd.CIFARResNet', depth=8), 9, 9),
        # Within each block; the stem's output is added, too, if not widened
        (dict(type='mmdskd.CIFARWideResNet', depth=10, widen_factor=1), 7, 3),
        (dict(type='mmdskd.CIFARWideResNet', depth=10, widen_factor=2), 7, 4),
        (dict(type='mmdskd.CIFARVGG', depth=8), 5, 5),
        (dict(type='mmdskd.CIFARMobileNetV2', widen_factor=0.5), 53, 53),
        (dict(type='mmpretrain.ResNet', depth=18), 20, 20),
    ],
)
def test_networks_of_the_field(backbone, norms, folded):
    model = with_statistics(MODELS.build(backbone))
    for module in model.modules():
        if hasattr(module, 'inplace'):
            module.inplace = True
    images = torch.rand(2, 3, 32, 32)
    expected = model(images)

    def run():
        return list(model(images))

    pairs = find_foldable(model, run, ())
    count = sum(isinstance(m, _BatchNorm) for m in model.modules())
    assert (count, len(pairs)) == (norms, folded)
    fold(model, pairs)
    for ours, theirs in zip(model(images), expected):
        difference = (ours - theirs).abs().max() / theirs.abs().max()
        assert difference < 1e-4


def test_convolution_that_is_returned_is_not_folded():
    model = with_statistics(Used(lambda m, x: m.conv(x)))

    def run():
        output = model(IMAGES)
        model.bn(output)
        return [output]

    assert find_foldable(model, run, ()) == {}


@pytest.mark.parametrize(
    'recorded, expected',
    [
        (['bn1'], dict(bn2='conv2')),
        (['conv2'], dict(bn1='conv1')),
        (['conv2.weight', 'bn1.bias'], {}),
        (['bn'], dict(bn1='conv1', bn2='conv2')),
    ],
)
def test_recorded_modules_are_not_folded(recorded, expected):
    assert pairs_of(with_statistics(Shuffled()), recorded=recorded) == expected


def test_hooks_are_removed():
    model = with_statistics(Shuffled())
    pairs_of(model)
    with pytest.raises(RuntimeError):
        pairs_of(model, torch.rand(2, 4, 8, 8))
    for m in model.modules():
        assert not m._forward_hooks and not m._forward_pre_hooks
