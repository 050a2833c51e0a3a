"""When the hook writes which weights, and what it logs."""

import pytest
import torch
from mmengine.hooks import LoggerHook
from test_engine.test_hooks.hand_driven import (
    EPOCH,
    ONE_TO_THREE,
    THREE_TO_ONE,
    drive,
    make_model,
    make_runner,
    near,
    schedule,
)
from torch import nn

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.models import BaseLossWeightStrategy, Branch, DSKDLoss
from mmdskd.registry import TASK_UTILS


def test_weights_follow_the_smoothed_losses():
    weights, _ = schedule(ONE_TO_THREE, (3.0, 1.0), (2.0, 2.0), ema_decay=0.5)
    # Smoothed: (1, 3), (2, 2), (2, 2).
    assert weights == near([0.5, 1.5], [1, 1], [1, 1])


def test_interval_takes_the_mean_since_the_last_update():
    weights, _ = schedule(
        ONE_TO_THREE, (1.0, 1.0), THREE_TO_ONE, (3.0, 1.0), interval=2
    )
    # Means: (1, 2) and (3, 1).
    assert weights == near([1, 1], [2 / 3, 4 / 3], [2 / 3, 4 / 3], [1.5, 0.5])


def test_by_epoch():
    weights, _ = schedule(
        *[ONE_TO_THREE] * 2, (4.0, 3.0), *[THREE_TO_ONE] * 3, by_epoch=True
    )
    # The mean of the first epoch is (2, 3).
    first = [0.8, 1.2]
    assert weights == near([1, 1], [1, 1], first, first, first, [1.5, 0.5])


def test_all_runs_of_the_loss_in_an_iteration_count():
    """As of the subnets of AutoSlim: their mean, not the last."""
    weights, _ = schedule([(1.0, 3.0), (5.0, 1.0), (3.0, 5.0)], ONE_TO_THREE)
    # The mean of the three is (3, 3).
    assert weights == near([1, 1], [0.5, 1.5])


def test_begin_end_and_weight_warmup():
    weights, _ = schedule(
        *[ONE_TO_THREE] * 6,
        *[THREE_TO_ONE] * 2,
        begin=1,
        end=6,
        weight_warmup=4,
    )
    assert weights == near(
        [1, 1],
        [0.875, 1.125],
        [0.75, 1.25],
        [0.625, 1.375],
        [0.5, 1.5],
        [0.5, 1.5],
        [0.5, 1.5],
        [0.5, 1.5],
    )


def test_losses_before_the_begin_do_not_count():
    weights, _ = schedule(THREE_TO_ONE, THREE_TO_ONE, ONE_TO_THREE, begin=2)
    assert weights == near([1, 1], [1, 1], [0.5, 1.5])


def test_loss_warmup():
    _, ramp = schedule(*[ONE_TO_THREE] * 6, loss_warmup=4)
    assert ramp == [0, 0.25, 0.5, 0.75, 1, 1]
    _, ramp = schedule(*[ONE_TO_THREE] * 9, loss_warmup=2, by_epoch=True)
    assert ramp == [0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]


@pytest.mark.parametrize('iteration', [0, 5])
def test_state_of_a_resumed_run(iteration):
    """It is kept, but for the factor, as the run may have another one."""
    hook = LossWeightSchedulerHook()
    model = make_model()
    loss = model['loss_dskd']
    loss.allocation['feat'].weights.copy_(torch.tensor([0.5, 1.5]))
    loss.ramp.fill_(0.1)
    runner = make_runner(model, hook)
    runner.iter = iteration
    hook.before_train(runner)
    expected = [0.5, 1.5] if iteration else [1, 1]
    assert loss.allocation['feat'].weights.tolist() == expected
    assert loss.ramp == 1


@pytest.mark.parametrize(
    'old, new', [('warmup', 'weight_warmup'), ('ramp', 'loss_warmup')]
)
def test_old_names(old, new):
    with pytest.warns(FutureWarning, match=f'{old} of .*: write {new}'):
        hook = LossWeightSchedulerHook(**{old: 3})
    assert getattr(hook, new) == 3
    for values in ((3, 5), (3, 0), (0, 5), (3, 3)):
        with pytest.raises(ValueError, match=f'{new} alone, but got both'):
            LossWeightSchedulerHook(**dict(zip((old, new), values)))
    assert getattr(LossWeightSchedulerHook(), new) == 0


def test_strategy_per_term():
    hook = LossWeightSchedulerHook(strategy=dict(feat='proportional'))
    model = nn.ModuleDict(
        dict(loss=DSKDLoss(2, feat_loss=nn.MSELoss(), logit_loss=nn.L1Loss()))
    )
    hook.before_train(make_runner(model, hook))
    branches = [
        Branch(torch.full((1, 1), x), torch.ones(1, 1)) for x in (1.0, 3.0)
    ]
    model['loss'](branches, torch.zeros(1, 1), torch.zeros(1, 1))
    hook.after_train_iter(make_runner(model, hook), 0)
    allocation = model['loss'].allocation
    assert allocation['feat'].weights.tolist() == pytest.approx([0.2, 1.8])
    assert allocation['logit'].weights.tolist() == [1, 1]


def test_a_strategy_of_the_user(monkeypatch):
    monkeypatch.setattr(
        TASK_UTILS, '_module_dict', dict(TASK_UTILS.module_dict)
    )

    @TASK_UTILS.register_module(name='test_last_only')
    class LastOnly(BaseLossWeightStrategy):
        def allocate(self, losses, previous):
            return torch.arange(len(losses), device=losses.device).float()

    weights, _ = schedule(ONE_TO_THREE, strategy='test_last_only')
    assert weights == [[0, 2]]


# ---------------------------------------------------------------------------
# The log
# ---------------------------------------------------------------------------
@pytest.mark.parametrize('interval', [None, 100])
def test_what_is_kept_for_the_log_does_not_grow(interval):
    """Without LoggerHook, or if an epoch does not end."""
    hook = LossWeightSchedulerHook()
    loggers = [] if interval is None else [LoggerHook(interval=interval)]
    model = make_model()
    runner = make_runner(model, hook)
    runner.train_dataloader = range(1000)
    hook.before_train(make_runner(model, hook, *loggers))
    sizes = []
    for i in range(4):
        model['loss_dskd'](
            [Branch(torch.full((1, 1), float(i)))] * 2,
            feat_T=torch.zeros(1, 1),
        )
        hook.after_train_iter(runner, i)
        [(total, count)] = hook._loss_log._sums.values()
        sizes.append(total.numel())
    assert sizes == [2, 2, 2, 2] and count == 4
    # It still is the mean of 0, 1, 4 and 9.
    scalars, _ = hook._loss_log.read()
    assert scalars['dskd.feat_0'] == pytest.approx(3.5)
    assert hook._loss_log._sums == {}


def test_ramp_is_logged_only_if_there_is_one():
    for kwargs in (dict(), dict(loss_warmup=8)):
        hook = LossWeightSchedulerHook(**kwargs)
        runner = make_runner(make_model(), hook)
        drive(runner, *[ONE_TO_THREE] * EPOCH)
        scalars = runner.message_hub.log_scalars
        assert ('train/dskd.ramp' in scalars) == bool(kwargs)
    assert scalars['train/dskd.ramp'].current() == 2 / 8
