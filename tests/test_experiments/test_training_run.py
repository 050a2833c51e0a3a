import re

import pytest
import torch
from mmengine.hooks import Hook
from test_experiments.trainings import TINY, finish, log_validations, train

from mmdskd.experiments.training_run import TrainingRun
from mmdskd.utils.arguments import parse_options
from mmdskd.utils.config import load_config
from mmdskd.utils.files import find_project_folder


class Recorder(Hook):
    """Remembers the initial weights, and the batches."""

    def before_train(self, runner):
        model = getattr(runner.model, 'architecture', runner.model)
        self.weights = [p.detach().clone() for p in model.parameters()]
        self.batches = []
        runner.model.data_preprocessor.register_forward_hook(
            lambda module, args, data: self.batches.append(data['inputs'])
        )


def test_students_of_a_seed_are_paired(plan_runs, build_runner):
    """Same initial weights, and same batches with their augmentation."""
    runs = plan_runs(seed=3)
    finish(runs.pop('teacher'))
    recorders = []
    for run in runs.values():
        run.prepare()
        # As tools/train.py is called, but for the teacher's weights
        command = run.command()
        options = command[command.index('--cfg-options') + 1 :]
        cfg = load_config(run.config_path)
        cfg.merge_from_dict(parse_options(options))
        if run.distilled:
            cfg.model.teacher_ckpt = None
        cfg.train_cfg.max_epochs = 2
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint = None
        cfg.custom_hooks = []
        cfg.work_dir = str(run.work_dir)
        runner = build_runner(cfg)
        recorders.append(Recorder())
        runner.register_hook(recorders[-1])
        runner.train()
    first = recorders[0]
    assert len(first.batches) == 4
    assert not torch.equal(first.batches[0], first.batches[2])
    for other in recorders[1:]:
        assert len(other.weights) == len(first.weights)
        for mine, theirs in zip(first.weights, other.weights):
            assert torch.equal(mine, theirs)
        assert len(other.batches) == len(first.batches)
        for mine, theirs in zip(first.batches, other.batches):
            assert torch.equal(mine, theirs)
    saved = torch.load(runs['student'].student_init, weights_only=True)
    assert torch.equal(
        saved['state_dict']['backbone.conv1.weight'], first.weights[0]
    )


def test_command(plan_runs):
    runs = plan_runs()
    for method in ('teacher', 'student'):
        finish(runs[method])
    seed_dir = runs['dskd'].work_dir.parent
    seen = {method: run.command() for method, run in runs.items()}
    tool = str(find_project_folder('tools') / 'train.py')
    for method, command in seen.items():
        assert command[1:3] == [tool, runs[method].config_path]
        assert command[4] == f'{seed_dir}/{method}'
        assert {*TINY, 'randomness.seed=0'} <= set(command)
        assert '--resume' not in command
        teacher = f'model.teacher_ckpt={seed_dir}/teacher/epoch_3.pth'
        for option in (teacher, 'evaluate_teacher=False'):
            assert (option in command) == (method in ('kd', 'dskd'))
    start = [
        'init_cfg.type=Pretrained',
        f'init_cfg.checkpoint={seed_dir}/student_init.pth',
    ]
    assert not any('init_cfg' in word for word in seen['teacher'])
    assert {f'model.{option}' for option in start} <= set(seen['student'])
    for method in ('kd', 'dskd'):
        assert {f'model.architecture.{option}' for option in start} <= set(
            seen[method]
        )


def test_distillation_needs_the_teacher(plan_runs):
    run = plan_runs()['kd']
    with pytest.raises(
        RuntimeError,
        match='seed0/kd should be trained after its teacher, but '
        '.*seed0/teacher is not finished',
    ):
        run.command()


def test_distillation_waits_for_the_teacher_only(plan_runs):
    runs = plan_runs()
    assert [run.is_ready for run in runs.values()] == [
        True,
        True,
        False,
        False,
    ]
    finish(runs['teacher'])
    assert all(run.is_ready for run in runs.values())
    assert not runs['student'].student_init.exists()
    runs['kd'].prepare()
    # It starts from the weights from which the student will start.
    init = runs['student'].student_init
    saved = init.read_bytes()
    runs['student'].prepare()
    assert init.read_bytes() == saved
    assert runs['student'].state and not runs['student'].result


def test_half_finished_run_is_resumed(plan_runs):
    run = plan_runs()['teacher']
    run.prepare()
    log_validations(run, 1, 2)
    for epoch in (1, 2):
        run.checkpoint_of(epoch).touch()
    assert run.finished_epochs == 2
    for epoch in (2, 1):
        path = run.checkpoint_of(epoch)
        assert run.command()[-2:] == ['--resume', str(path)]
        path.unlink()
    assert '--resume' not in run.command()


def test_run_killed_before_its_last_validation_makes_up_for_it(plan_runs):
    run = plan_runs()['teacher']
    run.prepare()
    log_validations(run, 1, 2)
    for epoch in (2, 3):  # 3 is the last epoch, and not validated
        run.checkpoint_of(epoch).touch()
    assert run.command()[-2:] == ['--resume', str(run.checkpoint_of(2))]


def test_changed_config_is_not_taken_for_done(plan_runs, tmp_path, capsys):
    for run in plan_runs().values():
        finish(run)
        assert run.result
    changed = plan_runs('model.backbone.depth=14')
    kept = plan_runs('train_cfg.max_epochs=3')
    assert all(run.result for run in kept.values())
    assert not any(run.result for run in changed.values())
    # A student of another teacher is another student.
    again = TrainingRun(
        'kd',
        0,
        kept['kd'].config,
        tmp_path,
        TINY,
        (changed['teacher'], kept['student']),
    )
    assert again.cfg.to_dict() == kept['kd'].cfg.to_dict()
    assert again.fingerprint != kept['kd'].fingerprint
    changed['teacher'].prepare()
    teacher = changed['teacher'].work_dir
    assert capsys.readouterr().out == (
        f'{teacher} was trained with other settings; it is kept as '
        f'{teacher}.1.\n'
    )
    assert (teacher.with_name('teacher.1') / 'epoch_3.pth').exists()
    assert not (teacher / 'epoch_3.pth').exists()


def test_missing_checkpoint_is_not_done(plan_runs):
    run = plan_runs()['teacher']
    finish(run)
    run.checkpoint_of(3).unlink()
    assert run.result is None


@pytest.mark.parametrize(
    'method, params, checkpoint',
    [('student', 5142, 'epoch_3.pth'), ('kd', 5142, 'epoch_3_student.pth')],
)
def test_finish(plan_runs, method, params, checkpoint):
    run = plan_runs()[method]
    run.prepare()
    train(run, 70.0)
    result = run.finish(threads=2)
    assert result == dict(
        method=method,
        seed=0,
        accuracy_top1=70.0,
        top1_by_epoch={'1': 10.0, '2': 20.0, '3': 70.0},
        params=params,
        seconds=60.0,
        config=run.config,
        options=TINY,
        threads=2,
        torch=torch.__version__,
        checkpoint=str(run.work_dir / checkpoint),
    )
    assert run.result == result


def test_finish_without_checkpoint(plan_runs):
    run = plan_runs()['teacher']
    run.prepare()
    log_validations(run, 1, 2, 3)
    with pytest.raises(
        FileNotFoundError,
        match=f'{re.escape(str(run.work_dir))} should hold the checkpoint',
    ):
        run.finish(threads=2)
