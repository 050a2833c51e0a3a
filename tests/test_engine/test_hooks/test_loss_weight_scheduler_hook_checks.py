"""What the hook refuses, and where it works beside others."""

from types import SimpleNamespace

import pytest
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import IterBasedTrainLoop
from mmrazor.engine import StopDistillHook
from mmrazor.registry import MODELS
from test_engine.test_hooks.hand_driven import (
    ONE_TO_THREE,
    drive,
    make_model,
    make_runner,
    near,
    schedule,
)
from torch import nn

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.models import SoftmaxStrategy, UniformStrategy


# ---------------------------------------------------------------------------
# Several hooks and losses
# ---------------------------------------------------------------------------
def test_two_hooks_on_one_loss_are_refused():
    hooks = [
        LossWeightSchedulerHook(loss='loss_dskd', strategy='softmax'),
        LossWeightSchedulerHook(strategy='dwa'),
    ]
    runner = make_runner(make_model('loss_a', 'loss_dskd'), *hooks)
    for hook in hooks:
        with pytest.raises(ValueError) as error:
            hook.before_train(runner)
        message = str(error.value)
        assert 'follow one LossWeightSchedulerHook, but' in message
        assert 'those of loss_dskd have two: (loss=' in message
        assert "(loss='loss_dskd', strategy='softmax')" in message
        assert "(loss=None, strategy='dwa')" in message
        # What it says to write does replace the hook.
        ours = dict(type='mmdskd.LossWeightSchedulerHook')
        other = dict(type='mmdskd.StudentCheckpointHook')
        idiom = message.partition('custom_hooks = ')[2]
        base = SimpleNamespace(
            custom_hooks=[
                SimpleNamespace(**ours, loss='loss_dskd'),
                SimpleNamespace(**other),
            ]
        )
        found = eval(idiom.replace(', ...', ''), {'_base_': base})
        assert found == [ours, base.custom_hooks[1]]


def test_hooks_on_different_losses():
    hooks = [
        LossWeightSchedulerHook('loss_a', 'proportional', ema_decay=0),
        LossWeightSchedulerHook('loss_b', 'uniform'),
    ]
    runner = make_runner(make_model('loss_a', 'loss_b'), *hooks)
    weights, _ = drive(runner, ONE_TO_THREE)
    assert weights == near([0.5, 1.5])
    allocation = runner.model['loss_b'].allocation['feat']
    assert allocation.weights.tolist() == [1, 1]
    assert allocation.num_updates == 1


# ---------------------------------------------------------------------------
# Stopping the distillation
# ---------------------------------------------------------------------------
@MODEL_WRAPPERS.register_module(name='TestWrapper')
class Wrapper(nn.Module):
    def __init__(self, module, find_unused_parameters):
        super().__init__()
        self.module = module
        self.find_unused_parameters = find_unused_parameters


def test_stopping_needs_unused_parameters_to_be_found(dskd_config):
    algorithm = MODELS.build(dskd_config.model)
    hook, stop = LossWeightSchedulerHook(), StopDistillHook(stop_epoch=1)
    hook.before_train(make_runner(Wrapper(algorithm, True), hook, stop))
    with pytest.raises(ValueError, match='find_unused_parameters = True'):
        hook.before_train(make_runner(Wrapper(algorithm, False), hook, stop))


# ---------------------------------------------------------------------------
# Wrong arguments
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(ema_decay=1), r'in \[0, 1\), but got 1'),
        (dict(ema_decay=-0.1), r'in \[0, 1\), but got -0.1'),
        (dict(interval=0), 'interval should be .* >= 1, but got 0'),
        (dict(begin=-1), 'begin should be .* >= 0, but got -1'),
        (dict(begin=5, end=5), 'end should be > begin=5, but got 5'),
        (dict(weight_warmup=0.5), 'weight_warmup should be a whole number'),
        (dict(loss_warmup=-2), 'loss_warmup should be a whole number'),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LossWeightSchedulerHook(**kwargs)


def test_default_strategy_is_the_reading_of_the_paper():
    strategies = LossWeightSchedulerHook().strategies
    assert all(isinstance(s, SoftmaxStrategy) for s in strategies.values())
    strategies = LossWeightSchedulerHook(
        strategy=dict(feat='softmax')
    ).strategies
    assert isinstance(strategies['logit'], UniformStrategy)


def test_a_loss_of_another_name_is_told_with_those_there_are():
    with pytest.raises(
        KeyError,
        match="loss='loss_kd' is not a DSKD loss of the model: "
        'choose one of loss_dskd, or None for all',
    ):
        schedule(loss='loss_kd')


def test_a_model_without_dskd_is_told():
    hook = LossWeightSchedulerHook()
    with pytest.raises(KeyError, match='has no mmdskd.DSKDLoss'):
        hook.before_train(make_runner(nn.ModuleDict(), hook))


def test_by_epoch_needs_epochs():
    hook = LossWeightSchedulerHook(by_epoch=True)
    runner = make_runner(make_model(), hook)
    runner.train_loop = object.__new__(IterBasedTrainLoop)
    with pytest.raises(ValueError, match='by_epoch=True needs training by'):
        hook.before_train(runner)
