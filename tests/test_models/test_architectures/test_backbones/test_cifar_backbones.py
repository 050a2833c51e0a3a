"""What all networks of the KD field have in common."""

import copy
import re

import pytest
import torch
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmpretrain.models.backbones import ResNet_CIFAR
from torch import nn

from mmdskd.models import (
    CIFARVGG,
    CIFARMobileNetV2,
    CIFARResNet,
    CIFARShuffleNetV1,
    CIFARShuffleNetV2,
    CIFARWideResNet,
)
from mmdskd.registry import MODELS

X4 = dict(stem_channels=32, stage_channels=(64, 128, 256))
THIN = [(16, 1), (32, 2), (64, 4)]
# Parameters with a linear head for 100 classes; per stage the channels, and
# by how much the size is divided.
FIELD = {
    'resnet8': (CIFARResNet, dict(depth=8), 83892, THIN),
    'resnet14': (CIFARResNet, dict(depth=14), 181108, THIN),
    'resnet20': (CIFARResNet, dict(depth=20), 278324, THIN),
    'resnet32': (CIFARResNet, dict(depth=32), 472756, THIN),
    'resnet44': (CIFARResNet, dict(depth=44), 667188, THIN),
    'resnet56': (CIFARResNet, dict(depth=56), 861620, THIN),
    'resnet110': (CIFARResNet, dict(depth=110), 1736564, THIN),
    'resnet8x4': (
        CIFARResNet,
        dict(depth=8, **X4),
        1233540,
        [(64, 1), (128, 2), (256, 4)],
    ),
    'resnet32x4': (
        CIFARResNet,
        dict(depth=32, **X4),
        7433860,
        [(64, 1), (128, 2), (256, 4)],
    ),
    'wrn_16_1': (CIFARWideResNet, dict(depth=16), 180916, THIN),
    'wrn_16_2': (
        CIFARWideResNet,
        dict(depth=16, widen_factor=2),
        703284,
        [(32, 1), (64, 2), (128, 4)],
    ),
    'wrn_40_1': (CIFARWideResNet, dict(depth=40), 569780, THIN),
    'wrn_40_2': (
        CIFARWideResNet,
        dict(depth=40, widen_factor=2),
        2255156,
        [(32, 1), (64, 2), (128, 4)],
    ),
    'vgg8': (CIFARVGG, dict(depth=8), 3965028, None),
    'vgg11': (CIFARVGG, dict(depth=11), 9277284, None),
    'vgg13': (CIFARVGG, dict(depth=13), 9462180, None),
    'vgg16': (CIFARVGG, dict(depth=16), 14774436, None),
    'vgg19': (CIFARVGG, dict(depth=19), 20086692, None),
    'MobileNetV2': (
        CIFARMobileNetV2,
        dict(),
        812836,
        [(12, 2), (16, 4), (48, 8), (1280, 16)],
    ),
    'ShuffleV1': (
        CIFARShuffleNetV1,
        dict(),
        949258,
        [(240, 2), (480, 4), (960, 8)],
    ),
    'ShuffleV2': (
        CIFARShuffleNetV2,
        dict(),
        1355528,
        [(116, 2), (232, 4), (1024, 8)],
    ),
    # MMPretrain's own network is that of the KD codebases.
    'ResNet50': (
        ResNet_CIFAR,
        dict(depth=50),
        23705252,
        [(256, 1), (512, 2), (1024, 4), (2048, 8)],
    ),
}
VGG_SIZES = {32: (32, 16, 8, 4, 4), 64: (64, 32, 16, 8, 4)}
# One of each class, as small as it can be.
SMALL = {
    CIFARResNet: dict(depth=8),
    CIFARWideResNet: dict(depth=10),
    CIFARVGG: dict(depth=8),
    CIFARMobileNetV2: dict(widen_factor=0.25, expand_ratio=2),
    CIFARShuffleNetV1: dict(),
    CIFARShuffleNetV2: dict(widen_factor=0.5),
}
each_class = pytest.mark.parametrize(
    'backbone_class', SMALL, ids=lambda cls: cls.__name__
)


def build(backbone_class, **kwargs):
    return backbone_class(**SMALL[backbone_class], **kwargs)


def count(module):
    return sum(param.numel() for param in module.parameters())


def batch_norms(module):
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


@pytest.mark.parametrize('name', FIELD)
def test_parameters_and_shapes_are_the_fields(name):
    backbone_class, kwargs, params, stages = FIELD[name]
    num_stages = 5 if stages is None else len(stages)
    backbone = backbone_class(out_indices=tuple(range(num_stages)), **kwargs)
    backbone.eval()
    for size in (32, 64):
        with torch.no_grad():
            feats = backbone(torch.rand(2, 3, size, size))
        assert isinstance(feats, tuple)
        if stages is None:
            expected = list(zip(CIFARVGG.STAGE_CHANNELS, VGG_SIZES[size]))
        else:
            expected = [
                (channels, size // stride) for channels, stride in stages
            ]
        assert [tuple(feat.shape) for feat in feats] == [
            (2, channels, edge, edge) for channels, edge in expected
        ]
    head = nn.Linear(feats[-1].size(1), 100)
    assert count(backbone) + count(head) == params


@each_class
def test_default_is_the_last_stage(backbone_class):
    backbone = build(backbone_class).eval()
    x = torch.rand(1, 3, 32, 32)
    last = len(backbone.STAGES) - 1
    assert backbone.out_indices == (last,)
    (feat,) = backbone(x)
    backbone.out_indices = (0, last)
    feats = backbone(x)
    assert len(feats) == 2
    assert torch.equal(feats[-1], feat)


@each_class
def test_names_are_public_and_in_order(backbone_class):
    """A recorder that attaches by name sees what is returned."""
    backbone = build(backbone_class)
    names = backbone.STEM + backbone.STAGES + backbone.TAIL
    assert sorted(names) == sorted(n for n, _ in backbone.named_children())
    assert (
        tuple(f'layer{i + 1}' for i in range(len(backbone.STAGES)))
        == backbone.STAGES
    )
    backbone.out_indices = tuple(range(len(backbone.STAGES)))
    seen = {}
    for name in names:
        getattr(backbone, name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: output})
        )
    feats = backbone.eval()(torch.rand(1, 3, 32, 32))
    assert tuple(seen) == names
    recorded = (*backbone.STAGES[:-1], names[-1])
    for name, feat in zip(recorded, feats):
        assert torch.equal(seen[name], feat)


@each_class
@pytest.mark.parametrize('frozen', [-1, 0, 1, 'all'])
def test_frozen_stages(backbone_class, frozen):
    num_stages = len(backbone_class.STAGES)
    stages = num_stages if frozen == 'all' else frozen
    backbone = build(backbone_class, frozen_stages=stages)
    expected = ()
    if stages >= 0:
        expected = backbone.STEM + backbone.STAGES[:stages]
    if stages == num_stages:
        expected += backbone.TAIL
    assert backbone.train() is backbone
    for name, child in backbone.named_children():
        assert child.training == (name not in expected), name
        for param in child.parameters():
            assert param.requires_grad == (name not in expected), name


@each_class
def test_frozen_statistics_do_not_move(backbone_class):
    backbone = build(backbone_class, frozen_stages=1).train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(torch.rand(4, 3, 32, 32))
    frozen = backbone.STEM + backbone.STAGES[:1]
    for name, after in backbone.state_dict().items():
        if name.endswith('running_mean'):
            same = torch.equal(before[name], after)
            assert same == (name.split('.')[0] in frozen), name


@each_class
def test_norm_eval(backbone_class):
    norms = batch_norms(build(backbone_class, norm_eval=True).train())
    assert norms and not any(m.training for m in norms)
    assert all(m.weight.requires_grad for m in norms)
    assert all(m.training for m in batch_norms(build(backbone_class).train()))


@each_class
def test_init_cfg_reaches_every_convolution(backbone_class):
    backbone = build(
        backbone_class, init_cfg=dict(type='Constant', layer='Conv2d', val=0.5)
    )
    backbone.init_weights()
    convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert all((conv.weight == 0.5).all() for conv in convs)


@each_class
def test_default_initialisation(backbone_class):
    torch.manual_seed(0)
    backbone = build(backbone_class)
    kept = backbone_class in (CIFARShuffleNetV1, CIFARShuffleNetV2)
    if not kept:
        for param in backbone.parameters():
            param.data.fill_(7.0)
    backbone.init_weights()
    conv = max(
        (m for m in backbone.modules() if isinstance(m, nn.Conv2d)),
        key=lambda conv: conv.weight.numel(),
    )
    weight = conv.weight
    std = weight.std().item()
    if kept:
        # PyTorch: uniform up to 1 / sqrt(fan in).
        bound = weight[0].numel() ** -0.5
        assert weight.abs().max() <= bound
        assert std == pytest.approx(bound / 3**0.5, rel=0.05)
    else:
        # Kaiming, fan out, for ReLU.
        fan_out = weight.size(0) * weight[0, 0].numel()
        assert std == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    assert all((m.weight == 1).all() for m in batch_norms(backbone))


@each_class
def test_pretrained_init_cfg(backbone_class, tmp_path):
    weights = build(backbone_class).state_dict()
    path = tmp_path / 'backbone.pth'
    torch.save(dict(state_dict=weights), path)
    backbone = build(
        backbone_class, init_cfg=dict(type='Pretrained', checkpoint=str(path))
    )
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


@each_class
@pytest.mark.parametrize('size', [(24, 40), (64, 64)])
def test_in_a_classifier(backbone_class, size):
    """Any size and class count: the pooling is adaptive."""
    backbone = dict(
        type=f'mmdskd.{backbone_class.__name__}',
        in_channels=1,
        **SMALL[backbone_class],
    )
    channels = MODELS.build(backbone)(torch.rand(1, 1, 32, 32))[0].size(1)
    model = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes=7, in_channels=channels
            ),
        )
    )
    logits = model(torch.rand(2, 1, *size))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@each_class
def test_wrong_stages(backbone_class):
    stages = len(backbone_class.STAGES)
    choices = ', '.join(map(str, range(stages)))
    for out_indices in ((), (stages,), (-1,), (1, 0), (1, 1), 2, '01', None):
        with pytest.raises(
            ValueError,
            match=rf'out_indices should be a list .*\({choices}\) in '
            f'increasing order, but got {re.escape(repr(out_indices))}',
        ):
            build(backbone_class, out_indices=out_indices)
    for frozen in (-2, stages + 1, 1.0, '1', None):
        with pytest.raises(
            ValueError,
            match=f'frozen_stages should .* up to {stages} .*got {frozen!r}',
        ):
            build(backbone_class, frozen_stages=frozen)
