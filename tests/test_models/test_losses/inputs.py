"""What the tests of the loss build and compare."""

import torch

from mmdskd.models import Branch, DSKDLoss

KL = dict(type='KLDivergence', tau=4)
MSE = dict(type='L2Loss', normalize=False, div_element=True)
CE = dict(type='mmpretrain.CrossEntropyLoss')
N, K, C, SIZE, L = 6, 5, 3, 2, 3


def data(dtype=torch.float64, **kwargs):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    branches = [
        Branch(
            draw(N, C, SIZE, SIZE).requires_grad_(),
            draw(N, K).requires_grad_(),
        )
        for _ in range(L)
    ]
    return branches, dict(
        preds_T=draw(N, K).requires_grad_(),
        feat_T=draw(N, C, SIZE, SIZE).requires_grad_(),
        gt_labels=torch.arange(N) % K,
    )


def build(**kwargs):
    return DSKDLoss(num_branches=L, **kwargs)
