import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import CheckpointHook

from mmdskd.engine import TeacherEvaluationHook
from mmdskd.experiments.run_log import read_run_log
from mmdskd.export.student_config import make_student_config


@pytest.fixture
def config(kd_config):
    kd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    kd_config.train_cfg.max_epochs = 2
    kd_config.default_hooks.checkpoint.save_best = 'accuracy/top1'
    kd_config.custom_hooks = [dict(type='mmdskd.TeacherEvaluationHook')]
    return kd_config


@pytest.fixture
def train(config, build_runner, monkeypatch):
    """Train with a teacher that gives a share of right answers; return the
    runner, the logged text and the number of runs of the teacher."""

    def run(right=1.0):
        runner = build_runner(config)
        calls, messages = [], []

        def predict(inputs, data_samples, mode):
            # The evaluation alone asks for predictions.
            if mode != 'predict':
                return type(runner.model.teacher).forward(
                    runner.model.teacher, inputs, data_samples, mode=mode
                )
            for i, sample in enumerate(data_samples):
                label = int(sample.gt_label)
                is_right = i < right * len(data_samples)
                sample.set_pred_score(
                    torch.eye(10)[label if is_right else (label + 1) % 10]
                )
            calls.append(len(data_samples))
            return data_samples

        monkeypatch.setattr(runner.model.teacher, 'forward', predict)
        for level in ('info', 'warning'):
            monkeypatch.setattr(
                runner.logger,
                level,
                lambda message, *args, level=level: messages.append(
                    f'{level}: {message}'
                ),
            )
        runner.train()
        return runner, messages, calls

    return run


def teacher_lines(cfg):
    lines = [
        json.loads(line)
        for path in Path(cfg.work_dir).glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    return [line for line in lines if 'teacher/accuracy/top1' in line]


def test_teacher_is_evaluated_once(config, train):
    _, messages, calls = train(right=0.8)
    assert calls == [20, 20, 10]  # the validation set, once
    assert teacher_lines(config) == [
        {'teacher/accuracy/top1': 80.0, 'step': 0}
    ]
    assert [m for m in messages if 'eacher: ' in m] == [
        'info: Teacher: accuracy/top1: 80.0000'
    ]
    assert not [m for m in messages if 'Teacher is' in m]


def test_no_other_hook_sees_it(config, train):
    """The best student is worse than the teacher, and still the best."""
    runner, _, _ = train()
    assert [row['step'] for row in read_run_log(config.work_dir).val] == [1, 2]
    hook = next(h for h in runner.hooks if isinstance(h, CheckpointHook))
    scores = runner.message_hub.get_scalar('val/accuracy/top1').data[0]
    assert len(scores) == 2
    best = runner.message_hub.get_info('best_score')
    assert best == max(scores) < 100
    assert Path(hook.best_ckpt_path).is_file()
    assert not [
        key for key in runner.message_hub.log_scalars if 'teacher' in key
    ]


def test_teacher_at_chance_level_is_reported(config, train):
    _, messages, _ = train(right=0.1)
    assert [m for m in messages if 'Teacher is' in m] == [
        'warning: Teacher is at chance level: top-1 10.0 % on 50 images of 10 '
        'classes. Check `teacher_ckpt`, its data set and its '
        '`data_preprocessor`.'
    ]


def test_teacher_that_always_says_one_class_is_at_chance_level(
    config, build_runner, listen
):
    """Also where most images are of this class."""
    runner = build_runner(config)
    data = runner.val_loop.dataloader.dataset
    zeros = [i for i in range(len(data)) if data.get_cat_ids(i) == [0]]
    ones = [i for i in range(len(data)) if data.get_cat_ids(i) == [1]]
    config.val_dataloader.dataset.indices = zeros + ones[:1]
    runner = build_runner(config)
    fc = runner.model.teacher.head.fc
    fc.weight.data.zero_()
    fc.bias.data.zero_()
    fc.bias.data[0] = 1
    messages = listen()
    runner.call_hook('before_train')
    share = 100 * len(zeros) / (len(zeros) + 1)
    assert share > 75
    [warning] = [m for m in messages if 'Teacher is' in m]
    assert f'chance level: top-1 {share:.1f} %' in warning


def test_teacher_of_other_classes_is_not_evaluated(
    config, build_runner, listen
):
    config.model.teacher.head.num_classes = 7
    for key in ('preds_S', 'preds_T'):
        mapping = config.model.distiller.loss_forward_mappings.loss_kd
        mapping[key].update(recorder='feat', data_idx=0)
    config.model.distiller.student_recorders = dict(
        feat=dict(type='ModuleOutputs', source='neck')
    )
    config.model.distiller.teacher_recorders = dict(
        feat=dict(type='ModuleOutputs', source='neck')
    )
    config.model.distiller.distill_losses.loss_kd = dict(
        type='DistanceWiseRKD'
    )
    runner = build_runner(config)
    messages = listen()
    runner.call_hook('before_train')
    assert not teacher_lines(config)
    assert [m for m in messages if 'Teacher' in m] == [
        'INFO: Teacher is not evaluated: it has 7 classes, which are not '
        'those of the student.'
    ]


@pytest.mark.parametrize(
    'enabled, variable, is_evaluated',
    [
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (True, False, True),
        (False, None, False),
        (False, True, False),
    ],
)
def test_it_can_be_switched_off(
    config, build_runner, enabled, variable, is_evaluated
):
    """By a variable of the config, or by the hook's own argument."""
    config.custom_hooks[0].enabled = enabled
    if variable is not None:
        config.evaluate_teacher = variable
    runner = build_runner(config)
    [hook] = [h for h in runner.hooks if isinstance(h, TeacherEvaluationHook)]
    hook.before_train(runner)
    assert len(teacher_lines(config)) == is_evaluated
    assert 'evaluate_teacher' not in make_student_config(runner.cfg)


def test_it_draws_no_numbers_of_the_training(config, build_runner):
    states = []
    for enabled in (True, False):
        config.custom_hooks[0].enabled = enabled
        runner = build_runner(config)
        runner.call_hook('before_train')
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_resumed_run_does_not_repeat_it(config, train, tmp_path):
    teacher = tmp_path / 'teacher.pth'
    config.model.teacher_ckpt = None
    runner, _, calls = train()
    torch.save(runner.model.teacher.state_dict(), teacher)
    config.model.teacher_ckpt = str(teacher)
    config.load_from = f'{config.work_dir}/epoch_1.pth'
    config.resume = True
    _, _, calls = train()
    assert calls == []


def test_without_validation_there_is_nothing_to_do(config, train):
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.checkpoint.save_best = None
    _, _, calls = train()
    assert calls == []


def test_stock_algorithm_is_served_too(config, build_runner):
    """Its teacher is left in the mode that it was in."""
    config.model.type = 'mmrazor.SingleTeacherDistill'
    runner = build_runner(config)
    runner.model.train()
    TeacherEvaluationHook().before_train(runner)
    assert runner.model.teacher.head.training
    [line] = teacher_lines(config)
    runner.model.architecture = runner.model.teacher
    metrics = runner.test()  # the teacher in place of the student
    assert line['teacher/accuracy/top1'] == metrics['accuracy/top1']


def test_model_without_teacher(config, build_runner):
    config.model = config.model.architecture
    with pytest.raises(TypeError, match='has a "teacher", but got Image'):
        build_runner(config).train()
