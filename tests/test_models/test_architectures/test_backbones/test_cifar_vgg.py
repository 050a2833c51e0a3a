import warnings

import pytest
import torch

from mmdskd.models import CIFARVGG


@pytest.mark.parametrize(
    'size, pooled',
    [
        ((32, 32), False),
        ((63, 63), False),
        ((64, 64), True),
        ((64, 40), False),
        ((96, 96), True),
    ],
)
def test_last_pooling_is_for_large_images(size, pooled):
    backbone = CIFARVGG(8, out_indices=(3, 4)).eval()
    before, after = backbone(torch.rand(1, 3, *size))
    expected = [edge // 2 if pooled else edge for edge in before.shape[2:]]
    assert list(after.shape[2:]) == expected


def test_forward_against_plain_torch():
    torch.manual_seed(0)
    backbone = CIFARVGG(11, in_channels=1, out_indices=(0, 1, 2, 3, 4)).eval()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    weights = iter(backbone.state_dict().values())
    out = x = torch.rand(1, 1, 16, 16)
    feats = backbone(x)
    for index, num_convs in enumerate((1, 1, 2, 2, 2)):
        if index in (1, 2, 3):
            out = torch.max_pool2d(out, 2)
        for _ in range(num_convs):
            weight, bias, gamma, beta, mean, var, _ = (
                next(weights) for _ in range(7)
            )
            out = torch.conv2d(out, weight, bias, padding=1)
            out = torch.batch_norm(
                out, gamma, beta, mean, var, False, 0.0, 1e-5, False
            ).relu()
        torch.testing.assert_close(feats[index], out)


def test_bias_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        CIFARVGG(8)


@pytest.mark.parametrize('depth', [12, '8', 8.0, None])
def test_errors(depth):
    with pytest.raises(
        ValueError,
        match=r'depth should be one of \[8, 11, 13, 16, 19\], but got '
        f'{depth!r}',
    ):
        CIFARVGG(depth)
