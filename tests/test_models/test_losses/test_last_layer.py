"""The last layer of the student as one more branch."""

from math import log

import pytest
import torch
from test_models.test_losses.inputs import CE, KL, MSE

from mmdskd.models import Branch, DSKDLoss, SoftmaxStrategy

KL1 = dict(KL, tau=1)


def feature(value):
    return torch.full((1, 1, 1, 1), value, requires_grad=True)


def build(**kwargs):
    return DSKDLoss(num_branches=2, last_layer=True, **kwargs)


def of_features(last=3.0):
    """MSE of 1 and 4 in the branches, and 9 in the last layer."""
    return dict(
        branches=[Branch(feature(value), None) for value in (1.0, 2.0)],
        feat_T=torch.zeros(1, 1, 1, 1),
        feat_S=feature(last),
    )


@pytest.mark.parametrize('reduction, value', [('sum', 14.0), ('mean', 14 / 3)])
def test_value(reduction, value):
    loss = build(feat_loss=MSE, reduction=reduction)
    assert loss(**of_features()).item() == pytest.approx(value)
    assert loss.last_losses['feat'].tolist() == [1, 4, 9]


def test_mean_is_over_the_branches_without_the_last_layer_too():
    loss = DSKDLoss(num_branches=2, feat_loss=MSE, reduction='mean')
    given = of_features()
    del given['feat_S']
    assert loss(**given).item() == pytest.approx(2.5)


def test_weights_of_a_plain_softmax_sum_to_1():
    loss = build(feat_loss=MSE, reduction='mean')
    loss(**of_features())
    loss.collect_losses()
    loss.update_weights(SoftmaxStrategy(normalize=False), ema_decay=0)
    # exp(1), exp(4) and exp(9) over their sum.
    weights = [0.000333106, 0.006690620, 0.992976274]
    assert (loss.allocation['feat'].weights / 3).tolist() == pytest.approx(
        weights, rel=1e-5
    )
    given = of_features()
    value = loss(**given)
    assert value.item() == pytest.approx(
        weights[0] + 4 * weights[1] + 9 * weights[2], rel=1e-5
    )
    value.backward()
    # The gradient of x^2 is 2x.
    for feat, gradient in (
        (given['branches'][0].feat, 2 * weights[0]),
        (given['branches'][1].feat, 4 * weights[1]),
        (given['feat_S'], 6 * weights[2]),
    ):
        assert feat.grad.item() == pytest.approx(gradient, rel=1e-5)


def test_gradient_reaches_the_logits_of_the_student():
    """KD on the last layer, by its weight."""
    preds_S = torch.tensor([[log(3.0), 0.0]], requires_grad=True)
    preds_T = torch.zeros(1, 2, requires_grad=True)
    branches = [Branch(None, torch.zeros(1, 2)) for _ in range(2)]
    loss = build(logit_loss=KL1, reduction='mean')
    loss.allocation['logit'].weights.copy_(torch.tensor([0.5, 0.5, 2.0]))
    value = loss(branches, preds_T, preds_S=preds_S)
    # Student (3/4, 1/4), teacher (1/2, 1/2); the branches are perfect.
    divergence = 0.5 * log(2 / 3) + 0.5 * log(2)
    assert value.item() == pytest.approx(2 / 3 * divergence)
    value.backward()
    assert preds_S.grad.tolist() == [
        pytest.approx([2 / 3 * 0.25, -2 / 3 * 0.25])
    ]
    assert preds_T.grad is None


def test_a_list_of_losses_has_one_for_the_last_layer():
    cfgs = [dict(MSE, loss_weight=weight) for weight in (1.0, 1.0, 10.0)]
    loss = build(feat_loss=cfgs)
    assert loss(**of_features()).item() == pytest.approx(95)
    with pytest.raises(
        ValueError, match=r'feat_loss .* one per branch \(3\), .* list of 2'
    ):
        build(feat_loss=cfgs[:2])


@pytest.mark.parametrize(
    'terms, needs',
    [
        (dict(logit_loss=KL), ['branches', 'preds_T', 'preds_S']),
        (dict(feat_loss=MSE), ['branches', 'feat_T', 'feat_S']),
        (
            dict(logit_loss=KL, feat_loss=MSE),
            ['branches', 'preds_T', 'feat_T', 'preds_S', 'feat_S'],
        ),
        (
            dict(logit_loss=dict(type='DKDLoss')),
            ['branches', 'preds_T', 'preds_S', 'gt_labels'],
        ),
    ],
)
def test_needs(terms, needs):
    assert build(**terms).needs == needs


def test_old_checkpoints_fit_where_the_last_layer_is_no_branch():
    state = DSKDLoss(num_branches=2, feat_loss=MSE).state_dict()
    last = build(feat_loss=MSE).state_dict()
    assert list(last) == list(state)
    assert state['allocation.feat.weights'].shape == (2,)
    assert last['allocation.feat.weights'].shape == (3,)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (
            dict(feat_loss=MSE, label_loss=CE),
            'label_loss should be None with last_layer=True.*by the loss of '
            'the student',
        ),
        (
            dict(feat_loss=MSE, reduction='none'),
            "reduction should be one of sum, mean, but got 'none'",
        ),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


def test_a_missing_feature():
    given = of_features()
    del given['feat_S']
    with pytest.raises(
        ValueError, match='needs branches, feat_T, feat_S, but got no feat_S'
    ):
        build(feat_loss=MSE)(**given)


@pytest.mark.parametrize(
    'loss',
    [DSKDLoss(num_branches=2, feat_loss=MSE), build(logit_loss=KL1)],
    ids=['no last layer', 'no feature loss'],
)
def test_a_feature_that_nothing_needs(loss):
    given = dict(of_features(), preds_T=torch.zeros(1, 2))
    if loss.last_layer:
        given['preds_S'] = torch.zeros(1, 2)
    with pytest.raises(
        ValueError, match=r'only, but got feat_S, which are for last_layer'
    ):
        loss(**given)


def test_shapes_that_differ():
    given = dict(of_features(), feat_S=torch.zeros(1, 2, 1, 1))
    with pytest.raises(
        ValueError,
        match=r'feat_S should have the shape of feat_T, \(1, 1, 1, 1\), but '
        r'got \(1, 2, 1, 1\).*a 1x1 convolution.*ConvModuleConnector',
    ):
        build(feat_loss=MSE)(**given)
    with pytest.raises(
        ValueError, match=r'preds_S .* \(1, 2\), but got \(1, 3\).*classes'
    ):
        build(logit_loss=KL1)(
            [Branch(None, torch.zeros(1, 2))] * 2,
            torch.zeros(1, 2),
            preds_S=torch.zeros(1, 3),
        )


def test_several_outputs():
    given = dict(of_features(), feat_S=(torch.zeros(1, 1, 1, 1),))
    with pytest.raises(
        TypeError, match='feat_S should be a tensor, but got a tuple.*data_idx'
    ):
        build(feat_loss=MSE)(**given)


def test_the_last_layer_is_no_branch_of_the_connector():
    given = of_features()
    given['branches'] *= 2
    with pytest.raises(ValueError, match='num_branches=2, but got 4 branches'):
        build(feat_loss=MSE)(**given)
