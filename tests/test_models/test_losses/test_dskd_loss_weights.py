"""What the loss remembers for its weights."""

import numpy as np
import pytest
import torch
from test_models.test_losses.inputs import KL, MSE, L, build, data
from torch import nn

from mmdskd.models import Branch
from mmdskd.models.losses import branch_weights
from mmdskd.models.losses.allocated_loss import collect_losses


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


def forward_with(loss, values):
    """A forward whose losses of the branches are known."""
    feats = [torch.full((1, 1, 1, 1), value**0.5) for value in values]
    loss([Branch(feat) for feat in feats], feat_T=torch.zeros(1, 1, 1, 1))


def test_all_forwards_of_an_iteration_count():
    """As in AutoSlim, where each subnet runs the loss."""
    loss = build(feat_loss=nn.MSELoss())
    for values in ([1.0, 4.0, 9.0], [9.0, 4.0, 1.0], [2.0, 1.0, 8.0]):
        forward_with(loss, values)
    torch.testing.assert_close(
        loss.last_losses['feat'], torch.tensor([2.0, 1.0, 8.0])
    )
    # The means, 4, 3 and 6, are one iteration.
    collected = loss.collect_losses()
    torch.testing.assert_close(collected['feat'], torch.tensor([4.0, 3, 6]))
    forward_with(loss, [2.0, 5.0, 8.0])
    loss.collect_losses()
    torch.testing.assert_close(
        loss.allocation['feat'].pending, torch.tensor([6.0, 8, 14, 2, 0])
    )
    loss.update_weights(proportional, ema_decay=0)
    torch.testing.assert_close(
        loss.allocation['feat'].weights, torch.tensor([9.0, 12, 21]) / 14
    )


def test_an_iteration_is_collected_once():
    loss = build(feat_loss=nn.MSELoss())
    forward_with(loss, [1.0, 2.0, 3.0])
    assert list(loss.collect_losses()) == ['feat']
    assert loss.collect_losses() == {}
    assert loss.allocation['feat'].pending[-2] == 1
    # A forward in eval mode is not one of the training, but the last one.
    loss.eval()
    forward_with(loss, [4.0, 5.0, 6.0])
    torch.testing.assert_close(
        loss.last_losses['feat'], torch.tensor([4.0, 5, 6])
    )
    assert loss.collect_losses() == {}
    assert loss.allocation['feat'].pending[-2] == 1
    # What was not collected is forgotten by a reset.
    loss.train()
    forward_with(loss, [1.0, 2.0, 3.0])
    loss.reset()
    assert loss.take_losses() == {}


def test_a_loss_that_did_not_run_keeps_its_place(monkeypatch):
    """With it, the message of this rank is as long as that of the others."""
    messages = []
    monkeypatch.setattr(branch_weights, 'get_world_size', lambda: 2)
    monkeypatch.setattr(branch_weights, 'all_reduce', messages.append)
    losses = [build(feat_loss=nn.MSELoss()) for _ in range(2)]
    losses.append(build(logit_loss=KL, feat_loss=MSE))
    forward_with(losses[1], [1.0, 2.0, 3.0])
    losses[0].eval()
    forward_with(losses[0], [1.0, 2.0, 3.0])
    collected = collect_losses(losses)
    assert [list(means) for means in collected] == [[], ['feat'], []]
    (message,) = messages
    torch.testing.assert_close(
        message, torch.tensor([*[0.0] * L, 0, 0, 1, 2, 3, 1, 0, *[0.0] * 10])
    )


def test_what_nobody_collects_is_one_iteration():
    """Of any number of forwards it is the mean, and left out by one nan."""
    loss = build(feat_loss=nn.MSELoss())
    for value in (0.0, 1.0, 2.0, 5.0):
        forward_with(loss, [value] * L)
    loss.collect_losses()
    torch.testing.assert_close(
        loss.allocation['feat'].pending, torch.tensor([2.0, 2, 2, 1, 0])
    )
    for value in (1.0, float('nan'), 1.0):
        forward_with(loss, [value] * L)
    loss.collect_losses()
    torch.testing.assert_close(
        loss.allocation['feat'].pending, torch.tensor([2.0, 2, 2, 1, 1])
    )


def test_losses_that_are_not_finite_are_counted():
    loss = build(logit_loss=KL, feat_loss=nn.MSELoss())
    branches, given = data(torch.float32)
    given['feat_T'] = given['feat_T'] * float('inf')
    loss(branches, **given)
    loss.collect_losses()
    loss.update_weights(proportional)
    assert loss.num_nonfinite == 1
