import copy
import pickle

import numpy as np
import pytest
import torch
from mmrazor.models import losses
from torch import nn

from mmdskd.models import Branch, DSKDLoss
from mmdskd.registry import MODELS

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


def test_labels_go_by_name_to_losses_that_take_them():
    branches, teacher = data()
    cfg = dict(type='DKDLoss', tau=4, beta=8)
    loss = build(logit_loss=cfg)
    assert loss.needs == ['branches', 'preds_T', 'gt_labels']
    loss(branches, preds_T=teacher['preds_T'], gt_labels=teacher['gt_labels'])
    dkd = MODELS.build(dict(cfg, _scope_='mmrazor'))
    assert loss.last_losses['logit'][0].item() == pytest.approx(
        dkd(
            branches[0].logits, teacher['preds_T'], teacher['gt_labels']
        ).item()
    )


def test_signatures_are_read_once(monkeypatch):
    branches, teacher = data()
    loss = build(logit_loss=dict(type='DKDLoss'), feat_loss=MSE, label_loss=CE)
    expected = loss(branches, **teacher)

    def refuse(*args, **kwargs):
        raise AssertionError('read in forward')

    monkeypatch.setattr('inspect.signature', refuse)
    assert torch.equal(loss(branches, **teacher), expected)


def test_soft_labels_of_mixup():
    branches, _ = data()
    soft = torch.full((N, K), 1 / K, dtype=torch.float64)
    loss = build(label_loss=CE)
    loss(branches, gt_labels=soft)
    expected = -branches[0].logits.log_softmax(1).mean(1).mean()
    assert loss.last_losses['label'][0].item() == pytest.approx(
        expected.item()
    )


def test_soft_labels_are_refused_where_they_cannot_be_used():
    branches, teacher = data()
    loss = build(logit_loss=dict(type='DKDLoss', tau=4))
    with pytest.raises(
        ValueError,
        match=r'DKDLoss takes class indices \(N, \), but got labels '
        r'\(6, 5\), as mixup',
    ):
        loss(
            branches,
            preds_T=teacher['preds_T'],
            gt_labels=torch.full((N, K), 1 / K),
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


class Chatty(nn.Module):
    def forward(self, student, teacher, data_samples):
        return student.mean()


class Lonely(nn.Module):
    def forward(self, student):
        return student.mean()


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(), 'at least one of logit_loss, feat_loss and label_loss'),
        (
            dict(logit_loss=[KL]),
            r'logit_loss should be one config, or one per '
            r'branch \(3\), but got a list of 1',
        ),
        (
            dict(logit_loss=dict(KL, tau=0)),
            'logit_loss: tau of KLDivergence should be > 0, but got 0',
        ),
        (dict(logit_loss=dict(KL, tau=-1)), 'should be > 0, but got -1'),
        (
            dict(feat_loss=Chatty()),
            'feat_loss: forward of Chatty should take '
            r'\(student, teacher\).*it takes \(student, teacher, data_samples\)',
        ),
        (dict(feat_loss=Lonely()), 'forward of Lonely should take'),
    ],
)
def test_wrong_config(cfg, message):
    with pytest.raises(ValueError, match=message):
        build(**cfg)


def test_choices_are_those_that_can_be_called():
    with pytest.raises(ValueError) as info:
        build(logit_loss=dict(type='CRDLoss', neg_num=2, sample_n=4))
    message = str(info.value)
    assert 'it takes (s_feats, t_feats, data_samples). Of MMRazor' in message
    choices = message.partition('these do: ')[2].partition(';')[0].split(', ')
    assert set(losses.__all__) - set(choices) == {
        'ActivationLoss',
        'CRDLoss',
        'InformationEntropyLoss',
        'OnehotLikeLoss',
    }
    assert message.endswith(
        'docs/losses.md tells which losses of MMRazor fit where'
    )


@pytest.mark.parametrize(
    'cfg, message',
    [
        (
            dict(logit_loss=dict(type='PKDLoss')),
            r'Branch 0: logit_loss should take tensors of shapes \(6, 5\), \(6, 5\), '
            r'but PKDLoss does not \(IndexError: .*\); docs/losses.md',
        ),
        (
            dict(feat_loss=dict(type='DKDLoss')),
            r'feat_loss should take tensors of '
            r'shapes \(6, 3, 2, 2\), .* but DKDLoss does not \(RuntimeError: ',
        ),
        (
            dict(logit_loss=dict(type='WSLD', num_classes=7)),
            r'but WSLD does not \(RuntimeError: ',
        ),
    ],
)
def test_a_loss_that_is_for_other_tensors_is_named(cfg, message):
    branches, teacher = data()
    with pytest.raises(ValueError, match=message):
        build(label_loss=CE, **cfg)(branches, **teacher)


@pytest.mark.parametrize(
    'term, name',
    [
        *(
            ('logit', name)
            for name in (
                'CrossEntropyLoss',
                'DISTLoss',
                'DKDLoss',
                'KDSoftCELoss',
                'KLDivergence',
                'WSLD',
            )
        ),
        *(
            ('feat', name)
            for name in (
                'ATLoss',
                'ChannelWiseDivergence',
                'FTLoss',
                'MGDLoss',
                'OFDLoss',
                'PKDLoss',
            )
        ),
        *(
            (term, name)
            for term in ('logit', 'feat')
            for name in (
                'ABLoss',
                'AngleWiseRKD',
                'DistanceWiseRKD',
                'L1Loss',
                'L2Loss',
            )
        ),
    ],
)
def test_losses_of_mmrazor_are_called_as_they_are(term, name):
    branches, teacher = data()
    cfg = dict(type=name, **dict(num_classes=K) if name == 'WSLD' else {})
    loss = build(label_loss=CE, **{f'{term}_loss': cfg})
    plain = MODELS.build(dict(cfg, _scope_='mmrazor'))
    ours, theirs = dict(logit=('logits', 'preds_T'), feat=('feat', 'feat_T'))[
        term
    ]
    labels = [teacher['gt_labels']] if name in ('DKDLoss', 'WSLD') else []
    expected = [
        plain(getattr(branch, ours), teacher[theirs], *labels).item()
        for branch in branches
    ]
    loss(branches, **teacher)
    weight = getattr(plain, 'loss_weight', 1)
    found = weight * loss.last_losses[term]
    assert found.tolist() == pytest.approx(expected)


def test_want_of_memory_stays_what_it_is():

    class Huge(nn.Module):
        def forward(self, student, teacher):
            raise torch.cuda.OutOfMemoryError('out of memory')

    branches, teacher = data()
    with pytest.raises(torch.cuda.OutOfMemoryError):
        build(logit_loss=Huge())(branches, **teacher)


@pytest.mark.parametrize('num_branches', [0, -1, 1.5, [1], True])
def test_wrong_number_of_branches(num_branches):
    with pytest.raises(ValueError, match='num_branches should be'):
        DSKDLoss(num_branches=num_branches, logit_loss=KL)


def test_unknown_loss_is_named():
    with pytest.raises(KeyError, match='NoSuchLoss'):
        build(logit_loss=dict(type='NoSuchLoss'))


def test_what_is_missing_in_forward_is_named():
    branches, teacher = data()
    loss = build(logit_loss=KL, label_loss=CE)
    with pytest.raises(ValueError, match='but got no preds_T, gt_labels'):
        loss(branches, feat_T=teacher['feat_T'])


def test_branches_and_teacher_must_agree():
    branches, teacher = data()
    full = build(logit_loss=KL, feat_loss=MSE)
    with pytest.raises(ValueError, match='num_branches=3, but got 2'):
        full(branches[:2], **teacher)
    with pytest.raises(ValueError, match='Branch 1 has no classifier'):
        full(
            [branches[0], branches[1]._replace(logits=None), branches[2]],
            **teacher,
        )
    with pytest.raises(
        ValueError,
        match=r'Branch 2: expected logits of the shape of the '
        r"teacher's, \(6, 5\), but got \(6, 4\)",
    ):
        full(
            [*branches[:2], branches[2]._replace(logits=torch.rand(N, 4))],
            **teacher,
        )
    with pytest.raises(
        ValueError,
        match=r'Branch 0: expected a feature of the shape of the '
        r"teacher's, \(6, 3, 2, 2\), but got \(6, 3, 1, 1\)",
    ):
        full(
            [branches[0]._replace(feat=torch.rand(N, C, 1, 1)), *branches[1:]],
            **teacher,
        )
    with pytest.raises(ValueError, match='Branch 1 has no feature, but'):
        full(
            [branches[0], branches[1]._replace(feat=None), branches[2]],
            **teacher,
        )
    with pytest.raises(ValueError, match='Branch 0 has a classifier, but'):
        build(feat_loss=MSE)(branches, feat_T=teacher['feat_T'])


def test_a_loss_that_is_not_a_scalar_is_named():
    branches, teacher = data()
    loss = build(logit_loss=dict(KL, reduction='none'))
    with pytest.raises(
        ValueError,
        match=r'Branch 0: logit_loss should return a scalar, but '
        r'KLDivergence returns a tensor of shape \(6, 5\)',
    ):
        loss(branches, preds_T=teacher['preds_T'])


def proportional(losses, previous):
    return L * losses / losses.sum()


def test_weights_are_updated_in_a_loop_of_ones_own():
    """The mean over two iterations, then an average with the next one."""
    loss = build(logit_loss=KL, feat_loss=dict(MSE, loss_weight=7.0))
    loss.collect_losses()  # before any forward there is nothing
    loss.update_weights(proportional)
    assert torch.equal(loss.allocation['feat'].weights, torch.ones(L))
    seen = []
    for factor in (1.0, 2.0, 5.0):
        branches, given = data(torch.float32)
        branches = [Branch(factor * b.feat, b.logits) for b in branches]
        loss(branches, **given)
        seen.append(loss.last_losses['feat'].numpy())
        loss.collect_losses()
        if factor > 1:
            loss.update_weights(proportional, ema_decay=0.75)
    smoothed = 0.75 * (seen[0] + seen[1]) / 2 + 0.25 * seen[2]
    feat = loss.allocation['feat']
    np.testing.assert_allclose(feat.ema, smoothed, rtol=1e-5)
    np.testing.assert_allclose(
        feat.weights, L * smoothed / smoothed.sum(), rtol=1e-5
    )
    assert feat.num_updates == 2


def test_rule_per_term():
    loss = build(logit_loss=KL, feat_loss=MSE)
    branches, given = data(torch.float32)
    loss(branches, **given)
    loss.collect_losses()
    loss.update_weights(
        dict(logit=lambda losses, previous: torch.ones(L), feat=proportional)
    )
    assert torch.equal(loss.allocation['logit'].weights, torch.ones(L))
    losses = loss.last_losses['feat']
    torch.testing.assert_close(
        loss.allocation['feat'].weights, proportional(losses, None)
    )


@pytest.mark.parametrize(
    'arguments, error, message',
    [
        ((dict(feat=proportional),), KeyError, "has none for 'logit'"),
        (('softmax',), TypeError, "SoftmaxStrategy.*but got 'softmax'"),
        ((proportional, 1.0), ValueError, r'ema_decay should be in \[0, 1\)'),
        (
            (proportional, 0.0, 2),
            ValueError,
            r'strength should be in \[0, 1\]',
        ),
    ],
)
def test_wrong_update(arguments, error, message):
    loss = build(logit_loss=KL, feat_loss=MSE)
    with pytest.raises(error, match=message):
        loss.update_weights(*arguments)


@pytest.mark.parametrize(
    'cfg',
    ['KLDivergence', nn.MSELoss, nn.functional.mse_loss, ['KLDivergence'] * L],
)
def test_loss_that_is_no_config(cfg):
    with pytest.raises(TypeError, match=r'logit_loss should be the config of'):
        build(logit_loss=cfg)


def test_plain_loss_of_pytorch():
    branches, given = data()
    branches = [Branch(branch.feat) for branch in branches]
    ours = build(feat_loss=nn.MSELoss())(branches, **given)
    assert torch.equal(ours, build(feat_loss=MSE)(branches, **given))


@pytest.mark.parametrize(
    'wrong, found',
    [
        (lambda branches: [b.logits for b in branches], 'a list with Tensor'),
        (lambda branches: branches[0].logits, 'a Tensor with Tensor'),
        (lambda branches: branches[0], 'a Branch with Tensor'),
        (lambda branches: [tuple(b) for b in branches], 'a list with tuple'),
    ],
)
def test_branches_that_are_none(wrong, found):
    branches, given = data()
    with pytest.raises(TypeError, match=f'branches should be .*{found}$'):
        build(logit_loss=KL)(wrong(branches), **given)


@pytest.mark.parametrize('name', ['preds_T', 'feat_T'])
def test_teacher_that_gives_several_outputs(name):
    branches, given = data()
    given[name] = (given[name],)
    with pytest.raises(
        TypeError,
        match=f'{name} should be a tensor, but got a tuple; .* data_idx',
    ):
        build(logit_loss=KL, feat_loss=MSE)(branches, **given)
