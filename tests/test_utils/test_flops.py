import torch

from mmdskd.utils.flops import count_flops


def test_flops_are_multiply_adds():
    conv = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    flops = count_flops(conv, torch.zeros(1, 3, 4, 6))
    assert flops == 3 * 5 * 9 * 4 * 6
