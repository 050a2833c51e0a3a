"""What is given to the loss, and the errors if it does not fit."""

import pytest
import torch
from test_models.test_losses.inputs import CE, KL, MSE, C, N, build, data

from mmdskd.models import DSKDLoss


@pytest.mark.parametrize('num_branches', [0, -1, 1.5, [1], True])
def test_wrong_number_of_branches(num_branches):
    with pytest.raises(ValueError, match='num_branches should be'):
        DSKDLoss(num_branches=num_branches, logit_loss=KL)


@pytest.mark.parametrize('given', [dict(), dict(num_branches='auto')])
def test_number_of_branches_is_found_beforehand(given):
    with pytest.raises(
        ValueError,
        match='num_branches should be known when it is built, but got '
        r"'auto'.*call mmdskd.utils.resolve_auto\(cfg\)",
    ):
        DSKDLoss(logit_loss=KL, **given)


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
