"""What the heads of branches cost, and where they stride."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdskd.models import (
    CIFARResNet,
    ConvHead,
    DSKDConnector,
    LinearHead,
    SepConvHead,
)


def macs(model, *inputs):
    """Multiply-accumulates of convolutions and linear layers."""
    counts = []

    def count(module, args, out):
        counts.append(out[0].numel() * module.weight[0].numel())

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    model.eval()
    with torch.no_grad():
        model(*inputs)
    return sum(counts)


def heads_of_resnet8x4(head='SepConvHead'):
    return DSKDConnector(
        in_channels=[64, 128],
        strides=[4, 2],
        out_channels=256,
        num_classes=100,
        head=dict(type=f'mmdskd.{head}'),
    )


@pytest.mark.parametrize(
    'head, share', [('SepConvHead', 0.06), ('ConvHead', 0.2)]
)
def test_share_of_the_multiply_adds_of_resnet8x4(head, share):
    student = CIFARResNet(8, stem_channels=32, stage_channels=(64, 128, 256))
    student_macs = macs(student, torch.rand(1, 3, 32, 32))
    head_macs = macs(
        heads_of_resnet8x4(head),
        [torch.rand(1, 64, 32, 32), torch.rand(1, 128, 16, 16)],
    )
    assert 0 < head_macs <= share * student_macs


# Per separable convolution 3x3 weights per channel in and a matrix, 2
# parameters of BN per channel, and in the end the expansion.
SEP_CONV_PARAMETERS = [
    # 64 -> 128 -> 128 -> 256, and a classifier.
    (64 * 9 + 2 * 64)
    + (64 * 128 + 2 * 128)
    + (128 * 9 + 2 * 128)
    + (128 * 128 + 2 * 128)
    + (128 * 256 + 2 * 256)
    + (256 * 100 + 100),
    # 128 -> 128 -> 256, and a classifier.
    (128 * 9 + 2 * 128)
    + (128 * 128 + 2 * 128)
    + (128 * 256 + 2 * 256)
    + (256 * 100 + 100),
]


def test_parameters_and_multiply_adds_of_separable_convolutions():
    heads = heads_of_resnet8x4()
    assert (
        [sum(p.numel() for p in head.parameters()) for head in heads.heads]
        == SEP_CONV_PARAMETERS
        == [86180, 77028]
    )
    # Of the first head at 16x16 and at 8x8, then of the second at 8x8.
    assert macs(
        heads, [torch.rand(1, 64, 32, 32), torch.rand(1, 128, 16, 16)]
    ) == (
        16**2 * (64 * 9 + 64 * 128)
        + 8**2 * (128 * 9 + 128 * 128 + 128 * 256)
        + 256 * 100
    ) + (8**2 * (128 * 9 + 128 * 128 + 128 * 256) + 256 * 100)


def test_depthwise_convolution_of_a_wide_feature_has_the_bottleneck_width():
    (head,) = DSKDConnector(
        in_channels=[480], strides=[1], out_channels=128
    ).heads
    depthwise = [
        module
        for module in head.projector
        if isinstance(module, nn.Conv2d) and module.groups > 1
    ]
    assert [module.in_channels for module in depthwise] == [64]
    assert sum(p.numel() for p in head.parameters()) == (
        480 * 64 + 2 * 64 + 64 * 9 + 2 * 64 + 64 * 128 + 2 * 128
    )


@pytest.mark.parametrize(
    'stride, edges',
    [
        (1, [16] * 3),
        (2, [8] * 3),
        (4, [8, 8, 4, 4, 4]),
        (8, [8, 8, 4, 4, 2, 2, 2]),
    ],
)
def test_separable_convolutions_begin_with_the_halving(stride, edges):
    head = SepConvHead(8, 20, stride=stride)
    found = []
    for module in head.projector:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda module, args, out: found.append(out.size(-1))
            )
    head(torch.rand(2, 8, 16, 16))
    assert found == edges


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (
            dict(stride=0),
            'stride should be a whole number n >= 1, or 1/n such as '
            '0.5, but got 0',
        ),
        (dict(stride=1.5), 'but got 1.5'),
        (dict(out_size='7'), "out_size should be .* but got '7'"),
        (dict(out_size=(7, 0)), r'but got \(7, 0\)'),
    ],
)
def test_wrong_sizes_of_a_head(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ConvHead(4, 4, **kwargs)


def test_linear_head_against_numpy():
    torch.manual_seed(0)
    head = LinearHead(2, 3, num_classes=4, stride=2)
    feature = torch.rand(1, 2, 4, 4)
    feat, logits = head(feature)
    convolution = head.projector[1]
    pooled = feature.numpy().reshape(2, 2, 2, 2, 2).mean(axis=(2, 4))
    matrix = convolution.weight.detach().numpy()[:, :, 0, 0]
    bias = convolution.bias.detach().numpy()[:, None, None]
    expected = np.einsum('oc,chw->ohw', matrix, pooled) + bias
    np.testing.assert_allclose(feat.detach().numpy()[0], expected, rtol=1e-5)
    linear = head.classifier
    torch.testing.assert_close(logits, linear(feat.mean(dim=(2, 3))))


@pytest.mark.parametrize('stride, size', [(4, 2), (3, 3), (0.5, 16)])
def test_linear_head_is_linear(stride, size):
    head = LinearHead(4, 6, num_classes=5, stride=stride).double()
    x, y = torch.rand(2, 2, 4, 8, 8, dtype=torch.double)
    assert head(x).feat.shape == (2, 6, size, size)
    for out in range(2):
        zero = head(torch.zeros_like(x))[out]
        torch.testing.assert_close(
            head(2 * x - 3 * y)[out] - zero,
            2 * (head(x)[out] - zero) - 3 * (head(y)[out] - zero),
        )


def test_linear_head_is_chosen_by_its_name():
    heads = heads_of_resnet8x4('LinearHead').heads
    assert [type(head) for head in heads] == [LinearHead, LinearHead]
    assert sum(p.numel() for p in heads[0].parameters()) == (
        64 * 256 + 256 + 256 * 100 + 100
    )
