"""The value of the loss."""

import copy
import pickle

import numpy as np
import pytest
import torch
from test_models.test_losses.inputs import CE, KL, MSE, K, L, N, build, data
from torch import nn

from mmdskd.models import Branch
from mmdskd.registry import MODELS


def softmax(x):
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


def reference(branches, preds_T, feat_T, gt_labels, a, b, c, tau):
    """Value and gradients of DSKD, straight from the formula, in numpy."""
    value, grads = 0.0, []
    p_T = softmax(preds_T / tau)
    for (feat, logits), a_l, b_l, c_l in zip(branches, a, b, c):
        p = softmax(logits / tau)
        logit = tau**2 * (p_T * (np.log(p_T) - np.log(p))).sum() / N
        feature = ((feat - feat_T) ** 2).mean()
        q = softmax(logits)
        label = -np.log(q[np.arange(N), gt_labels]).mean()
        value += a_l * logit + b_l * feature + c_l * label
        one_hot = np.eye(K)[gt_labels]
        grads.append(
            (
                b_l * 2 * (feat - feat_T) / feat.size,
                a_l * tau * (p - p_T) / N + c_l * (q - one_hot) / N,
            )
        )
    return value, grads


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_value_and_gradients_against_numpy(tau):
    branches, teacher = data()
    loss = build(
        logit_loss=dict(type='KLDivergence', tau=tau, loss_weight=0.7),
        feat_loss=dict(MSE, loss_weight=20.0),
        label_loss=dict(CE, loss_weight=0.3),
        loss_weight=0.5,
    )
    weights = dict(
        logit=[0.5, 1.0, 1.5], feat=[2.0, 0.25, 0.75], label=[1.0, 0.2, 1.8]
    )
    for term, values in weights.items():
        loss.allocation[term].weights.copy_(torch.tensor(values))
    loss.ramp.fill_(0.8)
    result = loss(branches, **teacher)
    result.backward()

    value, grads = reference(
        [[t.detach().numpy() for t in branch] for branch in branches],
        **{k: v.detach().numpy() for k, v in teacher.items()},
        a=0.7 * np.float32(weights['logit']),
        b=20 * np.float32(weights['feat']),
        c=0.3 * np.float32(weights['label']),
        tau=tau,
    )
    scale = 0.5 * np.float32(0.8)
    assert result.item() == pytest.approx(scale * value, rel=1e-6)
    for branch, expected in zip(branches, grads):
        for tensor, grad in zip(branch, expected):
            np.testing.assert_allclose(
                tensor.grad.numpy(), scale * grad, rtol=1e-6, atol=1e-9
            )
    # Nothing flows to the teacher, though L2Loss does not detach it.
    assert teacher['preds_T'].grad is None
    assert teacher['feat_T'].grad is None


def test_perfect_student_has_no_loss():
    branches, teacher = data()
    branches = [Branch(teacher['feat_T'], teacher['preds_T'])] * L
    loss = build(logit_loss=KL, feat_loss=MSE)
    assert loss(branches, **teacher).item() == pytest.approx(0, abs=1e-12)


def test_last_losses_are_before_any_weight():
    branches, teacher = data()
    loss = build(
        logit_loss=dict(KL, loss_weight=5.0),
        feat_loss=[dict(MSE, loss_weight=w) for w in (2.0, 0.0, 1.0)],
    )
    loss.allocation['logit'].weights.copy_(torch.tensor([3.0, 0.0, 0.0]))
    loss(branches, **teacher)
    plain = [
        MODELS.build(dict(KL, _scope_='mmrazor')),
        MODELS.build(dict(MSE, _scope_='mmrazor')),
    ]
    logit = [plain[0](b.logits, teacher['preds_T']).item() for b in branches]
    feat = [plain[1](b.feat, teacher['feat_T']).item() for b in branches]
    assert loss.last_losses['logit'].tolist() == pytest.approx(logit)
    assert loss.last_losses['feat'].tolist() == pytest.approx(
        [feat[0], 0, feat[2]]
    )
    assert not any(v.requires_grad for v in loss.last_losses.values())
    first = loss.last_losses
    loss(branches, **teacher)
    assert loss.last_losses is not first


def test_one_config_per_branch():
    branches, teacher = data()
    taus = [1.0, 2.0, 8.0]
    loss = build(logit_loss=[dict(KL, tau=tau) for tau in taus])
    assert [m.tau for m in loss.criteria['logit']] == taus
    branches = [b._replace(feat=None) for b in branches]
    loss(branches, preds_T=teacher['preds_T'])
    for value, branch, tau in zip(loss.last_losses['logit'], branches, taus):
        single = MODELS.build(dict(KL, tau=tau, _scope_='mmrazor'))
        assert value.item() == pytest.approx(
            single(branch.logits, teacher['preds_T']).item()
        )


def test_soft_labels_of_mixup():
    branches, _ = data()
    soft = torch.full((N, K), 1 / K, dtype=torch.float64)
    loss = build(label_loss=CE)
    loss(branches, gt_labels=soft)
    expected = -branches[0].logits.log_softmax(1).mean(1).mean()
    assert loss.last_losses['label'][0].item() == pytest.approx(
        expected.item()
    )


@pytest.mark.parametrize(
    'cfg, needs, needs_logits',
    [
        (dict(logit_loss=KL), ['branches', 'preds_T'], True),
        (dict(feat_loss=MSE), ['branches', 'feat_T'], False),
        (dict(label_loss=CE), ['branches', 'gt_labels'], True),
    ],
)
def test_any_term_can_be_left_out(cfg, needs, needs_logits):
    branches, teacher = data()
    loss = build(**cfg)
    assert loss.needs == needs and loss.needs_logits is needs_logits
    if not needs_logits:
        branches = [branch._replace(logits=None) for branch in branches]
    value = loss(branches, **{k: teacher[k] for k in needs[1:]})
    assert value.item() > 0 and len(loss.last_losses) == 1


def test_modules_are_taken_as_losses():
    branches, teacher = data()
    loss = build(feat_loss=nn.SmoothL1Loss())
    branches = [branch._replace(logits=None) for branch in branches]
    loss(branches, feat_T=teacher['feat_T'])
    assert loss.last_losses['feat'][1].item() == pytest.approx(
        nn.functional.smooth_l1_loss(
            branches[1].feat, teacher['feat_T']
        ).item()
    )


def test_half_precision_losses_are_weighted_in_full():
    branches, teacher = data(torch.float32)
    loss = build(feat_loss=nn.MSELoss())
    half = [Branch(b.feat.half()) for b in branches]
    value = loss(half, feat_T=teacher['feat_T'].half())
    assert value.dtype == torch.float32
    assert loss.last_losses['feat'].dtype == torch.float32


def test_copies_pickles_and_saves_after_a_forward():
    branches, teacher = data()
    loss = build(logit_loss=KL)
    loss(branches, preds_T=teacher['preds_T'])
    loss.allocation['logit'].weights.copy_(torch.tensor([0.0, 1.0, 2.0]))
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.allocation['logit'].weights.tolist() == [0, 1, 2]
    loss.reset()
    assert loss.allocation['logit'].weights.tolist() == [1, 1, 1]


def test_plain_loss_of_pytorch():
    branches, given = data()
    branches = [Branch(branch.feat) for branch in branches]
    ours = build(feat_loss=nn.MSELoss())(branches, **given)
    assert torch.equal(ours, build(feat_loss=MSE)(branches, **given))
