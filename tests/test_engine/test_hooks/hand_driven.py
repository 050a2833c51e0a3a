"""The hook driven by hand, with losses that are known: without a training."""

from itertools import count
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.models import Branch, DSKDLoss

EPOCH = 3  # iterations
NUMBERS = count()  # of message hubs, which outlive a test


def make_model(*names):
    """A model with DSKD losses of two branches, and nothing else."""
    return nn.ModuleDict(
        {
            name: DSKDLoss(2, feat_loss=nn.MSELoss())
            for name in names or ('loss_dskd',)
        }
    )


def make_runner(model, *hooks):
    return SimpleNamespace(
        model=model,
        hooks=hooks,
        iter=0,
        epoch=0,
        max_iters=100,
        max_epochs=34,
        train_loop=None,
        train_dataloader=range(EPOCH),
        message_hub=MessageHub.get_instance(f'test_{next(NUMBERS)}'),
    )


def drive(runner, *losses):
    """Train with these losses of the branches, one pair an iteration or, as
    AutoSlim does, several.

    Returns:
        tuple[list, list]: Weights and factor after each iteration.
    """
    weights, ramp = [], []
    for hook in runner.hooks:
        hook.before_train(runner)
    for pairs in losses:
        batch_idx = runner.iter % EPOCH
        for hook in runner.hooks:
            hook.before_train_iter(runner, batch_idx)
        for loss in runner.model.values():
            for pair in [pairs] if isinstance(pairs[0], float) else pairs:
                feats = [torch.full((1, 1, 1, 1), x**0.5) for x in pair]
                loss(
                    [Branch(f) for f in feats],
                    feat_T=torch.zeros_like(feats[0]),
                )
            ramp.append(loss.ramp.item())
        for hook in runner.hooks:
            hook.after_train_iter(runner, batch_idx)
        runner.iter += 1
        if runner.iter % EPOCH == 0:
            for hook in runner.hooks:
                hook.after_train_epoch(runner)
            runner.epoch += 1
        loss = next(iter(runner.model.values()))
        weights.append(loss.allocation['feat'].weights.tolist())
    return weights, ramp


def schedule(*losses, **kwargs):
    """See :func:`drive`: one hook on one loss."""
    kwargs = {'strategy': 'proportional', 'ema_decay': 0, **kwargs}
    hook = LossWeightSchedulerHook(**kwargs)
    return drive(make_runner(make_model(), hook), *losses)


def near(*weights):
    return [pytest.approx(pair) for pair in weights]


ONE_TO_THREE, THREE_TO_ONE = (1.0, 3.0), (3.0, 1.0)
