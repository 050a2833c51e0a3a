"""Trainings whose teacher was trained on images of another kind."""

import copy

import pytest
import torch
from teacher_helpers import make_teacher

from mmdskd.engine.checks.run_check import check_before_training

OWN = dict(mean=[10.0], std=[5.0])


@pytest.fixture
def config(kd_config, tmp_path):
    path = str(tmp_path / 'teacher.pth')
    teacher = make_teacher(kd_config.model.teacher)
    torch.save(dict(state_dict=teacher.state_dict()), path)
    kd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    kd_config.model.teacher_ckpt = path
    kd_config.train_cfg.max_epochs = 1
    kd_config.custom_hooks = [dict(type='mmdskd.TeacherEvaluationHook')]
    return kd_config


@pytest.fixture
def train(config, build_runner, monkeypatch):
    """Train; return the metrics of the teacher, the losses and weights."""

    def run(**changes):
        cfg = copy.deepcopy(config)
        cfg.merge_from_dict(changes)
        runner = build_runner(cfg)
        scores = {}
        monkeypatch.setattr(
            runner.visualizer,
            'add_scalars',
            lambda values, **kwargs: scores.update(values),
        )
        runner.train()
        losses = runner.message_hub.get_scalar('train/distill.loss_kd').data
        return scores['teacher/accuracy/top1'], losses[0], runner.model

    return run


def test_it_teaches_as_with_its_own_images(config, train):
    """The student's images differ; all else of the run is the same.

    The reference is a run where both have the preprocessor of the teacher,
    whose student gets its images by an affine map in its first layer: none
    can be had, so the teacher's own scores are compared, and the losses of
    the first iteration.
    """
    own = dict(type='mmpretrain.ClsDataPreprocessor', **OWN)
    alone = train(**{'model.data_preprocessor': own})[0]
    wrong = train()[0]
    right, _, model = train(**{'model.teacher_data_preprocessor': OWN})
    assert right == alone != wrong
    assert model.teacher_preprocessor is not None


def test_another_size(config, train):
    score, losses, _ = train(**{'model.teacher_input_size': 16})
    assert (score, list(losses)) == (train()[0], list(train()[1]))
    assert list(train(**{'model.teacher_input_size': 24})[1]) != list(losses)


def test_checkpoints_fit_each_other(config, train, build_runner):
    train()
    cfg = copy.deepcopy(config)
    cfg.model.teacher_input_size = 24
    cfg.train_cfg.max_epochs = 2
    cfg.resume = True
    runner = build_runner(cfg)
    runner.train()
    assert runner.epoch == 2


def test_a_size_that_a_teacher_does_not_take(config, build_runner):
    runner = build_runner(config)

    def refuse(module, args):
        if args[0].shape[-1] != 24:
            raise AssertionError('Input height does not match model (24).')

    runner.model.teacher.register_forward_pre_hook(refuse)
    with pytest.raises(ValueError) as error:
        check_before_training(runner)
    assert str(error.value) == (
        'model.teacher should run on images of shape (1, 16, 16), but fails '
        'with AssertionError: Input height does not match model (24). If it '
        'was built for another size, set model.teacher_input_size to it'
    )
    config.model.teacher_input_size = 24
    runner = build_runner(config)
    runner.model.teacher.register_forward_pre_hook(refuse)
    check_before_training(runner)
