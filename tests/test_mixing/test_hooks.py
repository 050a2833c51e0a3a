"""docs/mixing.md: hooks."""

import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from test_mixing.page import look, scalars, section

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.models import DWAStrategy
from mmdskd.version import satisfies


def test_another_rule_for_the_weights(start):
    """It takes the place of that of the base; both are refused."""
    [block] = section('Another rule for the weights')
    runner = start(block)
    runner.train()
    [hook] = (
        h for h in runner.hooks if isinstance(h, LossWeightSchedulerHook)
    )
    assert isinstance(hook.strategies['logit'], DWAStrategy)
    kinds = [hook.type for hook in runner.cfg.custom_hooks]
    assert kinds == [
        'mmdskd.LossWeightSchedulerHook',
        'mmdskd.StudentCheckpointHook',
        'mmdskd.TeacherEvaluationHook',
        'Look',
    ]
    both = re.sub(r'if hook.type != .*', '', block)
    with pytest.raises(
        ValueError,
        match="two: .loss=None, strategy='dwa'. and "
        ".loss='loss_dskd', strategy='softmax'.",
    ):
        start(both).train()


def test_a_schedule_of_the_whole_loss(start):
    [block] = section('A schedule of the whole loss')
    runner = start(block)
    runner.train()
    loss = runner.model.distiller.distill_losses['loss_dskd']
    last = (runner.max_iters - 1) / runner.max_iters
    expected = 0.1 + 0.9 * (1 + math.cos(math.pi * last)) / 2
    assert loss.ramp.item() == pytest.approx(expected)


def test_stopped_distillation(start):
    [block] = section('Stopping the distillation')
    runner = start(block.replace('stop_epoch=20', 'stop_epoch=1'), epochs=2)
    heads = runner.model.distiller.connectors
    kept = {}

    class Keep(Hook):
        def after_train_epoch(self, runner):
            kept.setdefault(
                'heads', {k: v.clone() for k, v in heads.state_dict().items()}
            )

    runner.register_hook(Keep())
    runner.train()
    names = {name for name, _ in heads.named_parameters()}
    assert look(runner).learning == [names, names, set(), set()]
    assert len(scalars(runner, 'distill.loss_dskd')) == 2
    assert len(scalars(runner, 'student.loss')) == 4
    # Not even weight decay and momentum move what gets no gradient; before
    # torch 2.0, it gets one of zero.
    stays = all(
        torch.equal(value, kept['heads'][name])
        for name, value in heads.state_dict().items()
    )
    assert stays == satisfies(torch.__version__, '>=2.0')


def test_self_distillation_can_not_be_stopped(start):
    [block] = section('Without a teacher')
    runner = start(
        block + 'custom_hooks.append('
        "dict(type='mmrazor.StopDistillHook', stop_epoch=1))"
    )
    with pytest.raises(
        ValueError, match='SelfDistill can not be stopped to distil'
    ):
        runner.train()


def test_averaged_weights(start, build_runner):
    [block] = section('Averaged weights')
    runner = start(block.replace('momentum=0.001', 'momentum=0.25'))
    runner.train()
    hook = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    assert type(hook).__module__.startswith('mmpretrain')
    averaged = hook.ema_model.module
    assert averaged.teacher is runner.model.teacher
    name = 'backbone.conv1.weight'
    ours = averaged.student.get_parameter(name)
    assert not torch.equal(ours, runner.model.student.get_parameter(name))
    # The file holds the averaged ones, and gives the logged accuracy.
    path = 'work_dirs/block/best_accuracy_top1_epoch_1_student.pth'
    student = torch.load(path, weights_only=True)['state_dict']
    assert torch.equal(student[name], ours)


def test_hooks_of_mmpretrain(start):
    [block] = section('Hooks of MMPretrain')
    runner = start(
        block.replace('action_epoch=25', 'action_epoch=2').replace(
            'interval=100', 'interval=20'
        ),
        epochs=2,
    )
    seen = {}

    class Note(Hook):
        priority = 'VERY_HIGH'  # before PreciseBNHook

        def before_train_iter(self, runner, *args, **kwargs):
            model = runner.model
            seen.setdefault('weight', []).append(
                model.distiller.distill_losses['loss_dskd'].loss_weight
            )

        def after_train_epoch(self, runner):
            heads = runner.model.distiller.connectors
            seen['heads'] = {
                name: value.clone() for name, value in heads.named_buffers()
            }
            seen['student'] = (
                runner.model.student.backbone.bn1.running_mean.clone()
            )

    runner.register_hook(Note())
    runner.train()
    # Warmed up in 5 epochs of 2 iterations; seen before that of the iteration.
    assert seen['weight'] == pytest.approx([1.0, 0.0, 0.1, 0.2])
    mixed = [
        (labels > 0).sum(dim=1).max().item() for labels in look(runner).labels
    ]
    # Two iterations, two of PreciseBNHook
    assert mixed == [2, 2, 1, 1]
    for name, value in runner.model.distiller.connectors.named_buffers():
        assert torch.equal(value, seen['heads'][name]), name
    assert not torch.equal(
        runner.model.student.backbone.bn1.running_mean, seen['student']
    )
    images = list(Path('work_dirs/block').rglob('vis_image/*.png'))
    assert len(images) == 4  # images 0 and 20 of each validation


def test_another_loss_is_refused(start):
    [block] = section('Hooks of MMPretrain')
    runner = start(
        block
        + """
custom_hooks = [dict(type='SwitchRecipeHook', schedule=[
    dict(action_epoch=1, loss=dict(type='mmpretrain.CrossEntropyLoss'))])]
"""
    )
    with pytest.raises(RuntimeError, match='Cannot access the `loss_module`'):
        runner.train()


@pytest.mark.slow
def test_check_of_the_number_of_classes(start):
    [block] = section('Averaged weights')
    block += "custom_hooks.append(dict(type='ClassNumCheckHook'))\n"
    with pytest.raises(AssertionError, match=r'\(None\) in ClsDataPreproc'):
        start(block).train()
    start(
        block, **{'model.architecture.data_preprocessor': dict(num_classes=10)}
    ).train()


@pytest.mark.slow
def test_adaptive_margins_do_not_work(start):
    [block] = section('Averaged weights')
    runner = start(
        block + "custom_hooks.append(dict(type='SetAdaptiveMarginsHook'))\n"
    )
    with pytest.raises(AttributeError, match="no attribute 'head'"):
        runner.train()
