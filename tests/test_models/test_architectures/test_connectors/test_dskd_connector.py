import pytest
import torch
from torch import nn

from mmdskd.models import Branch, ConvHead, DSKDConnector, SepConvHead
from mmdskd.registry import MODELS

FEATURES = [torch.rand(2, 8, 16, 16), torch.rand(2, 12, 8, 8)]


def connector(**kwargs):
    defaults = dict(
        in_channels=[8, 12], strides=[4, 2], out_channels=20, num_classes=5
    )
    return DSKDConnector(**{**defaults, **kwargs})


def shapes(branches):
    return [tuple(branch.feat.shape) for branch in branches]


@pytest.mark.parametrize('head', ['SepConvHead', 'ConvHead'])
def test_brings_features_to_the_shape_of_the_teacher(head):
    branches = connector(head=dict(type=f'mmdskd.{head}'))(FEATURES)
    assert all(isinstance(branch, Branch) for branch in branches)
    assert shapes(branches) == [(2, 20, 4, 4)] * 2
    assert [tuple(b.logits.shape) for b in branches] == [(2, 5)] * 2


@pytest.mark.parametrize('head', ['SepConvHead', 'ConvHead'])
@pytest.mark.parametrize(
    'edge, kwargs, expected',
    [
        (16, dict(strides=[1]), 16),
        (16, dict(strides=[8]), 2),
        (7, dict(strides=[2]), 4),
        (16, dict(strides=[3]), 6),
        (16, dict(strides=[6]), 3),
        (16, dict(strides=[3.0]), 6),
        (16, dict(strides=[4.0]), 4),
        (14, dict(out_size=5), 5),
        (4, dict(out_size=7), 7),
        (4, dict(strides=[0.5]), 8),
        (5, dict(strides=[1 / 3]), 15),
    ],
)
def test_sizes(head, edge, kwargs, expected):
    heads = DSKDConnector(
        in_channels=[8],
        out_channels=20,
        head=dict(type=f'mmdskd.{head}'),
        **kwargs,
    )
    assert shapes(heads([torch.rand(2, 8, edge, edge)])) == [
        (2, 20, expected, expected)
    ]


def test_smaller_feature_is_repeated_after_the_projector():
    (branch,) = DSKDConnector(
        in_channels=[8], strides=[0.5], out_channels=20, num_classes=5
    )([torch.rand(2, 8, 3, 4)])
    assert branch.feat.shape == (2, 20, 6, 8)
    small = branch.feat[:, :, ::2, ::2]
    expected = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(branch.feat, expected)
    # The mean is the same, so the classifier need not wait for it.
    torch.testing.assert_close(
        branch.feat.mean(dim=(2, 3)), small.mean(dim=(2, 3))
    )


def test_target_size_may_be_oblong():
    heads = connector(strides=None, out_size=(3, 5))
    assert shapes(heads(FEATURES)) == [(2, 20, 3, 5)] * 2


def test_classifier_classifies_the_pooled_feature():
    heads = connector()
    for branch, head in zip(heads(FEATURES), heads.heads):
        expected = head.classifier(branch.feat.flatten(2).mean(2))
        torch.testing.assert_close(branch.logits, expected)


def test_without_classes_there_is_no_classifier():
    heads = connector(num_classes=None)
    assert [branch.logits for branch in heads(FEATURES)] == [None, None]
    assert not any(isinstance(m, nn.Linear) for m in heads.modules())


def test_every_parameter_gets_a_gradient():
    heads = connector()
    sum(branch.logits.square().sum() for branch in heads(FEATURES)).backward()
    for name, param in heads.named_parameters():
        assert param.grad is not None and param.grad.abs().sum() > 0, name


def test_initialisation_is_explicit():
    torch.manual_seed(0)
    heads = DSKDConnector(
        in_channels=[64], strides=[1], out_channels=512, num_classes=100
    )
    for module in heads.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight.size(0) * module.weight[0, 0].numel()
            assert module.weight.std().item() == pytest.approx(
                (2 / fan_out) ** 0.5, rel=0.1
            )
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
        elif isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
            assert (module.bias == 0).all()


def test_heads_are_chosen_by_name():
    assert isinstance(connector().heads[0], SepConvHead)
    heads = MODELS.build(
        dict(
            type='mmdskd.DSKDConnector',
            in_channels=[8],
            strides=[2],
            out_channels=20,
            head=dict(type='mmdskd.ConvHead', kernel_size=1),
        )
    )
    assert isinstance(heads.heads[0], ConvHead)
    assert heads.heads[0].projector[1].kernel_size == (1, 1)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(strides=None), 'either strides .* or out_size'),
        (dict(out_size=4), 'either strides .* or out_size'),
        (
            dict(strides=[4]),
            r'strides should give one number per branch, 2 as '
            r'in_channels=\[8, 12\] do, but got \[4\]',
        ),
        (dict(strides=4), 'strides should be a list .* but got 4'),
        (
            dict(strides=[4, 0]),
            r'strides should be a list .*, or 1/n '
            r'such as 0.5, .* but got \[4, 0\]',
        ),
        (dict(strides=[4, 0.4]), r'strides should be .* but got \[4, 0.4\]'),
        (dict(strides=[4, 1.5]), r'strides should be .* but got \[4, 1.5\]'),
        (dict(strides=[4, float('nan')]), r'strides should be .* nan'),
        (dict(strides=[4, float('inf')]), r'strides should be .* inf'),
        (dict(strides=[4, -2]), r'strides should be .* but got \[4, -2\]'),
        (dict(strides=[4, '2']), r'strides should be .* but got \[4, .2.\]'),
        (dict(in_channels=8), 'in_channels should be a list'),
        (dict(in_channels=[]), 'in_channels should be a list'),
        (dict(in_channels=[8, -1]), 'in_channels should be .* >= 1.* but got'),
        (dict(out_channels=0), 'out_channels should be .* >= 1.* but got 0'),
        (dict(num_classes=0), 'num_classes should be .* >= 1.* but got 0'),
        (
            dict(head=dict(type='mmdskd.SepConvHead', bottleneck_ratio=0)),
            'bottleneck_ratio should be a number > 0, but got 0',
        ),
        (
            dict(head=dict(type='mmdskd.ConvHead', kernel_size=2)),
            'kernel_size should be a positive odd number, but got 2',
        ),
    ],
)
def test_wrong_config(kwargs, message):
    with pytest.raises(ValueError, match=message):
        connector(**kwargs)


@MODELS.register_module(name='TestNoHead')
class NoHead(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()


def test_a_head_must_be_one():
    with pytest.raises(TypeError, match='BaseBranchHead.*but got NoHead'):
        connector(head=dict(type='mmdskd.TestNoHead'))


@pytest.mark.parametrize(
    'features, error, message',
    [
        (FEATURES[:1], ValueError, 'has 2 branches, but got 1 features'),
        (FEATURES[0], TypeError, r'got one tensor of shape \(2, 8, 16, 16\)'),
        (None, TypeError, 'takes the list of features .* but got a NoneType'),
        (
            FEATURES[::-1],
            ValueError,
            r'Branch 0: expected a feature of shape '
            r'\(N, 8, H, W\) as in_channels says, but got \(2, 12, 8, 8\)',
        ),
        (
            [FEATURES[0], torch.rand(2, 12)],
            ValueError,
            r'Branch 1: .*but got \(2, 12\)',
        ),
        (
            [FEATURES[0], (FEATURES[1], FEATURES[1])],
            TypeError,
            'Branch 1: the recorded output should be one tensor, but got '
            'a tuple with 2 tensors',
        ),
        (
            [FEATURES[0], None],
            TypeError,
            'Branch 1: the recorded output should .*tensor.*got a NoneType',
        ),
    ],
)
def test_wrong_input(features, error, message):
    with pytest.raises(error, match=message):
        connector()(features)


def to_tokens(feature, extra=0):
    """The tokens of a map, after some that have no position."""
    tokens = feature.flatten(2).transpose(1, 2)
    return torch.cat(
        [torch.full((tokens.size(0), extra, tokens.size(2)), 9.0), tokens], 1
    )


@pytest.mark.parametrize(
    'layout, convert',
    [
        ('NHWC', lambda feature: feature.permute(0, 2, 3, 1)),
        ('NLC', to_tokens),
        (dict(order='NLC', num_extra_tokens=2), lambda f: to_tokens(f, 2)),
        ('NLC', lambda f: (to_tokens(f), f.shape[2:])),
    ],
)
def test_layouts_make_no_difference(layout, convert):
    heads = connector(layouts=['NCHW', layout]).eval()
    branch = heads([FEATURES[0], convert(FEATURES[1])])[1]
    expected = heads.heads[1](FEATURES[1])
    torch.testing.assert_close(branch.feat, expected.feat)
    torch.testing.assert_close(branch.logits, expected.logits)


@pytest.mark.parametrize('head', ['mmdskd.ConvHead', ConvHead])
def test_head_is_a_config(head):
    with pytest.raises(TypeError, match='head should be the config of a Base'):
        connector(head=head)


@pytest.mark.parametrize(
    'layouts, message',
    [
        (
            ['NCHW'],
            'layouts should be one for all branches, or one per branch, 2',
        ),
        (
            'NCL',
            'order of a layout should be one of NCHW, NHWC, NLC, but got '
            "'NCL'",
        ),
        (dict(order='NHWC', num_extra_tokens=1), 'go with the order NLC'),
        (
            dict(tokens=1),
            'A layout should be one of NCHW, NHWC, NLC, or a dict',
        ),
    ],
)
def test_wrong_layouts(layouts, message):
    with pytest.raises(ValueError, match=message):
        connector(layouts=layouts)


@pytest.mark.parametrize('name', ['in_channels', 'out_channels', 'layouts'])
def test_auto_has_to_be_resolved(name):
    with pytest.raises(
        ValueError,
        match=f'DSKDConnector: {name} should be known.*call '
        r'mmdskd.utils.resolve_auto\(cfg\) before',
    ):
        connector(**{name: 'auto'})
