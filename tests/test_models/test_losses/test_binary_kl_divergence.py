"""KL of each class by itself."""

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch.nn import functional as F

from mmdskd.models import BinaryKLDivergence
from mmdskd.models.losses.binary_kl_divergence import binary_kl_divergence
from mmdskd.registry import MODELS

N, K = 6, 5


def draw(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(N, K, generator=generator).double()


def test_value_by_hand():
    """Odds of 3 are p = 3/4, odds of 1 are q = 1/2:
    3/4 log(3/2) + 1/4 log(1/2)."""
    student = torch.tensor([[0.0, 1.0]])
    teacher = torch.tensor([[math.log(3), 1.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    losses = binary_kl_divergence(student, teacher)
    assert losses[0, 0].item() == pytest.approx(expected)
    assert losses[0, 1].item() == 0
    # With tau of 2, logits twice as large give 2^2 times the loss.
    losses = binary_kl_divergence(2 * student, 2 * teacher, tau=2)
    assert losses[0, 0].item() == pytest.approx(4 * expected)


@pytest.mark.parametrize('tau', [1, 4.5])
@pytest.mark.parametrize(
    'reduction, reduce',
    [
        ('batchmean', lambda losses: losses.sum() / N),
        ('sum', np.sum),
        ('mean', np.mean),
    ],
)
def test_value_of_scipy(tau, reduction, reduce):
    student, teacher = draw(), draw(seed=1)
    p, q = (1 / (1 + np.exp(-z.numpy() / tau)) for z in (teacher, student))
    expected = tau**2 * (rel_entr(p, q) + rel_entr(1 - p, 1 - q))
    loss = BinaryKLDivergence(tau, reduction, loss_weight=0.5)
    assert loss(student, teacher).item() == pytest.approx(
        0.5 * reduce(expected)
    )
    elements = BinaryKLDivergence(tau, 'none')(student, teacher)
    np.testing.assert_allclose(elements.numpy(), expected, rtol=1e-9)


def test_gradient_is_the_difference_of_the_probabilities():
    student, teacher = draw().requires_grad_(), draw(seed=1).requires_grad_()
    BinaryKLDivergence(tau=2, reduction='sum')(student, teacher).backward()
    expected = 2 * ((student / 2).sigmoid() - (teacher / 2).sigmoid())
    torch.testing.assert_close(student.grad, expected.detach())
    assert teacher.grad is None
    BinaryKLDivergence(teacher_detach=False)(student, teacher).backward()
    assert teacher.grad.abs().sum() > 0


def test_differs_from_binary_cross_entropy_by_the_entropy_of_the_teacher():
    student, teacher = draw(), draw(seed=1)
    p = teacher.sigmoid()

    def cross_entropy(logits):
        return F.binary_cross_entropy_with_logits(logits, p, reduction='none')

    torch.testing.assert_close(
        binary_kl_divergence(student, teacher),
        cross_entropy(student) - cross_entropy(teacher),
    )


def test_what_a_softmax_does_not_see():
    """All there against nothing there."""
    nothing, all_there = torch.full((1, K), -6.0), torch.full((1, K), 6.0)
    softmax = MODELS.build(dict(type='mmrazor.KLDivergence', tau=4))
    assert softmax(nothing, all_there).item() == 0
    assert BinaryKLDivergence()(nothing, all_there).item() > 25


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_large_logits_in_half_precision(dtype):
    student = torch.tensor([[300.0, -300.0]], dtype=dtype)
    loss = BinaryKLDivergence()(student.requires_grad_(), -student)
    loss.backward()
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(600)
    assert student.grad.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(tau=0), 'BinaryKLDivergence: tau should be .* > 0, but got 0'),
        (dict(tau='4'), "tau should be .* > 0, but got '4'"),
        (dict(tau=True), 'tau should be .* > 0, but got True'),
        (dict(tau=float('nan')), 'tau should be .* > 0, but got nan'),
        (dict(tau=float('inf')), 'tau should be .* > 0, but got inf'),
        (
            dict(reduction='avg'),
            'BinaryKLDivergence: reduction should be one of batchmean, sum, '
            "mean, none, but got 'avg'",
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        BinaryKLDivergence(**kwargs)


@pytest.mark.parametrize(
    'shapes', [((2, 3), (2, 4)), ((2, 3, 4, 4), (2, 3, 4, 4))]
)
def test_other_shapes(shapes):
    with pytest.raises(
        ValueError,
        match=r'should be logits \(N, K\), but got \(2, 3.* and \(2, ',
    ):
        BinaryKLDivergence()(*map(torch.zeros, shapes))
