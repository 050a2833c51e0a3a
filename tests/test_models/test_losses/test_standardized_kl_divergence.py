"""KL of standardised logits."""

import numpy as np
import pytest
import torch
from mmrazor.models.losses import KLDivergence
from test_models.test_losses.inputs import L, build, data

from mmdskd.models import StandardizedKLDivergence
from mmdskd.registry import MODELS

N, K = 6, 5


def draw(*shape, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator).double()


def reference(student, teacher, tau):
    """Per sample, in numpy."""

    def log_softmax(logits):
        scores = (logits - logits.mean(1, keepdims=True)) / (
            logits.std(1, ddof=1, keepdims=True) + 1e-7
        )
        scores = scores / tau
        return scores - np.log(np.exp(scores).sum(1, keepdims=True))

    ours, theirs = log_softmax(student.numpy()), log_softmax(teacher.numpy())
    return tau**2 * (np.exp(theirs) * (theirs - ours)).sum(1)


def test_value_by_hand():
    """Deviations of (1, -1) and (0, 4) are sqrt(2) and 2 sqrt(2): both
    become 1 / sqrt(2) and its negative, with opposite signs."""
    loss = StandardizedKLDivergence()(
        torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 4.0]])
    )
    p = 1 / (1 + np.exp(-np.sqrt(2)))
    expected = p * np.log(p / (1 - p)) + (1 - p) * np.log((1 - p) / p)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(np.sqrt(2) * (2 * p - 1))


@pytest.mark.parametrize('tau', [1, 2, 4.5])
@pytest.mark.parametrize(
    'reduction, reduce',
    [
        ('batchmean', np.mean),
        ('sum', np.sum),
        ('mean', lambda losses: losses.mean() / K),
    ],
)
def test_value_of_numpy(tau, reduction, reduce):
    student, teacher = draw(N, K), draw(N, K, seed=1)
    loss = StandardizedKLDivergence(
        tau=tau, reduction=reduction, loss_weight=0.5
    )
    assert loss(student, teacher).item() == pytest.approx(
        0.5 * reduce(reference(student, teacher, tau))
    )


def test_without_reduction_it_is_per_class():
    student, teacher = draw(N, K), draw(N, K, seed=1)
    losses = StandardizedKLDivergence(tau=2, reduction='none')(
        student, teacher
    )
    assert losses.shape == (N, K)
    np.testing.assert_allclose(
        losses.sum(1), reference(student, teacher, tau=2)
    )


@pytest.mark.parametrize('side', [0, 1])
def test_shift_and_scale_of_a_sample_do_not_matter(side):
    given = [draw(N, K), draw(N, K, seed=1)]
    loss = StandardizedKLDivergence(tau=2)
    expected = loss(*given)
    given[side] = given[side] * torch.linspace(0.5, 20, N)[:, None] + draw(
        N, 1, seed=2
    )
    torch.testing.assert_close(loss(*given), expected, rtol=1e-6, atol=0)
    assert not torch.isclose(
        KLDivergence(tau=2)(*given), expected, rtol=0.05, atol=0
    )


def test_gradient_is_divided_by_the_deviation():
    student, teacher = draw(N, K), draw(N, K, seed=1)
    gradients = []
    for scale in (1, 0.01):
        logits = (scale * student).requires_grad_()
        StandardizedKLDivergence(tau=2)(logits, teacher).backward()
        gradients.append(logits.grad)
    # But for eps, which is 1e-5 of a deviation of 0.01.
    torch.testing.assert_close(
        gradients[1], 100 * gradients[0], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize('value', [0, 0.1, -1e4])
@pytest.mark.parametrize('side', [0, 1])
def test_equal_logits(value, side):
    """As of a classifier whose weights are 0."""
    given = [draw(N, K).float(), draw(N, K, seed=1).float()]
    given[side] = torch.full((N, K), float(value))
    given[0].requires_grad_()
    loss = StandardizedKLDivergence(tau=2)(*given)
    loss.backward()
    assert loss.isfinite() and loss > 0
    assert given[0].grad.isfinite().all() and given[0].grad.any()


def test_eps_bounds_the_gradient():
    """Logits of 0 act as if divided by eps."""
    teacher = draw(N, K, seed=1)
    logits = torch.zeros(N, K).double().requires_grad_()
    StandardizedKLDivergence(eps=0.5)(logits, teacher).backward()
    scores = (teacher - teacher.mean(1, keepdim=True)) / (
        teacher.std(1, keepdim=True) + 0.5
    )
    expected = (1 / K - scores.softmax(1)) / N / 0.5
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    """In half precision, eps would be 0, and so a deviation of 1e-4 in
    float16."""
    student, teacher = (draw(N, K, seed=i).to(dtype) for i in (0, 1))
    loss = StandardizedKLDivergence(tau=2)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = loss(student, teacher)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(student.float(), teacher.float()))
    assert loss(torch.zeros_like(student), teacher).isfinite()


def test_teacher_is_detached():
    student, teacher = (draw(N, K, seed=i).requires_grad_() for i in (0, 1))
    StandardizedKLDivergence()(student, teacher).backward()
    assert student.grad.any() and teacher.grad is None
    StandardizedKLDivergence(teacher_detach=False)(student, teacher).backward()
    assert teacher.grad.any()


def test_in_the_branches():
    """It takes the place of KLDivergence."""
    branches, given = data()
    loss = build(
        logit_loss=dict(
            type='mmdskd.StandardizedKLDivergence', tau=2, loss_weight=3.0
        )
    )
    expected = [
        reference(b.logits.detach(), given['preds_T'].detach(), 2).mean()
        for b in branches
    ]
    assert loss(branches, **given).item() == pytest.approx(3 * sum(expected))
    np.testing.assert_allclose(loss.last_losses['logit'], expected, rtol=1e-6)
    assert len(expected) == L


@pytest.mark.parametrize('shape', [(N, 1), (N,), (N, K, 2, 2)])
@pytest.mark.parametrize('name', ['preds_S', 'preds_T'])
def test_what_is_not_logits(name, shape):
    given = dict(preds_S=draw(N, K), preds_T=draw(N, K))
    given[name] = draw(*shape)
    with pytest.raises(ValueError) as error:
        StandardizedKLDivergence()(**given)
    assert str(error.value) == (
        f'{name} of StandardizedKLDivergence should be logits (N, K) of '
        f'K >= 2 classes, but got a tensor of shape {shape}'
    )


@pytest.mark.parametrize('eps', [0, -1e-7, float('nan'), None, '1'])
def test_wrong_eps(eps):
    with pytest.raises(
        ValueError, match=f'eps should be a number > 0, but got {eps!r}'
    ):
        MODELS.build(dict(type='mmdskd.StandardizedKLDivergence', eps=eps))
