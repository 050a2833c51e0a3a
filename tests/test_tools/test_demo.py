import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmdskd.cli import parse_options
from mmdskd.experiments.training_run import TrainingRun
from mmdskd.utils.config import load_config

DEMO = Path(__file__).parents[2] / 'tools/demo.py'
METHODS = ['teacher', 'student', 'kd', 'dskd']
TINY = [
    'train_cfg.max_epochs=3',
    'train_dataloader.num_batch_per_epoch=2',
    'val_dataloader.num_batch_per_epoch=1',
    'default_hooks.checkpoint.interval=1',
]


@pytest.fixture(scope='module')
def demo():
    spec = importlib.util.spec_from_file_location('demo', DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plan(demo, tmp_path):

    def run(*options, extra=(), seed=0, one_teacher=False):
        args = argparse.Namespace(
            cfg_options=[*TINY, *options],
            extra=extra,
            pair='resnet20_resnet8-thin',
            one_teacher=one_teacher,
            work_dir=tmp_path,
        )
        return {run.method: run for run in demo.plan_runs(seed, args)}

    return run


def finish(demo, run, top1=50.0):
    """Leave a run as it is at its end."""
    run.prepare()
    (run.work_dir / 'epoch_3.pth').touch()
    demo.write_json(
        run.work_dir / 'run.json',
        dict(
            fingerprint=run.fingerprint,
            result=dict(checkpoint='epoch_3.pth', accuracy_top1=top1),
        ),
    )


def test_configs_exist(demo):
    for pair in demo.PAIRS:
        configs = demo.find_methods(pair)
        assert list(configs) == METHODS
        for config in configs.values():
            load_config(str(DEMO.parents[1] / config))


def test_work_dir_is_that_of_the_pair(demo, monkeypatch):
    for options, expected in (
        ([], 'work_dirs/demo'),
        (
            ['--pair', 'resnet32x4_resnet8x4'],
            'work_dirs/demo_resnet32x4_resnet8x4',
        ),
        (['--pair', 'resnet32x4_resnet8x4', '--work-dir', 'here'], 'here'),
    ):
        monkeypatch.setattr('sys.argv', ['demo.py', *options])
        assert str(demo.parse_args().work_dir) == expected


@pytest.mark.parametrize(
    'seconds, text',
    [(0, '0:00'), (59.6, '1:00'), (61, '1:01'), (3661, '1:01:01')],
)
def test_format_time(demo, seconds, text):
    assert demo.format_time(seconds) == text


def test_compare(demo):
    top1 = dict(
        teacher=[97.0, 98.0, 99.0],
        student=[80.0, 81.0, 82.0],
        kd=[90.0, 91.0, 92.0],
        dskd=[91.0, 93.0, 95.0],
    )
    results = [
        dict(
            method=method,
            seed=seed,
            accuracy_top1=value,
            params=5142,
            seconds=60.0 + seed,
        )
        for method, values in top1.items()
        for seed, value in enumerate(values)
    ]
    lines = demo.compare(results).splitlines()
    assert lines[2].split() == [
        'student',
        '81.00',
        '+-',
        '1.00',
        '5,142',
        '1:01',
        '3',
    ]
    assert '  kd - student: +10.00  [+10.00, +10.00], 3 seeds' in lines
    # Differences 1, 2, 3, see test_statistics
    assert '  dskd - kd: +2.00  [-0.48, +4.48], 3 seeds' in lines


def test_compare_one_seed(demo):
    results = [
        dict(method=method, seed=0, accuracy_top1=top1, params=1, seconds=1.0)
        for method, top1 in (('kd', 90.0), ('dskd', 92.0))
    ]
    assert demo.compare(results).splitlines()[-1] == (
        '  dskd - kd: +2.00, 1 seed'
    )


def test_students_of_a_seed_are_paired(demo, plan, build_runner):
    """Same initial weights, and same batches with their augmentation."""

    class Recorder(Hook):
        def before_train(self, runner):
            model = getattr(runner.model, 'architecture', runner.model)
            self.weights = [p.detach().clone() for p in model.parameters()]
            self.batches = []
            runner.model.data_preprocessor.register_forward_hook(
                lambda module, args, data: self.batches.append(data['inputs'])
            )

    runs = plan(seed=3)
    del runs['teacher']
    recorders = []
    for run in runs.values():
        run.prepare()
        # As tools/train.py is called, but for the teacher's weights
        run.parents = ()
        run.distilled, distilled = False, run.distilled
        options = run.command()
        options = options[options.index('--cfg-options') + 1 :]
        if distilled:
            options = [
                option.replace('model.init_cfg', 'model.architecture.init_cfg')
                for option in options
            ]
        cfg = load_config(run.config_path)
        cfg.merge_from_dict(parse_options(options))
        if distilled:
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
        for mine, theirs in zip(first.weights, other.weights):
            assert torch.equal(mine, theirs)
        for mine, theirs in zip(first.batches, other.batches):
            assert torch.equal(mine, theirs)
    saved = torch.load(runs['student'].student_init, weights_only=True)[
        'state_dict'
    ]
    assert torch.equal(saved['backbone.conv1.weight'], first.weights[0])


def test_distilled_command(demo, plan):
    runs = plan()
    for method in ('teacher', 'student'):
        finish(demo, runs[method])
    command = runs['dskd'].command()
    seed_dir = runs['dskd'].work_dir.parent
    for option in (
        f'model.teacher_ckpt={seed_dir}/teacher/epoch_3.pth',
        'model.architecture.init_cfg.type=Pretrained',
        f'model.architecture.init_cfg.checkpoint={seed_dir}/student_init.pth',
        'randomness.seed=0',
    ):
        assert option in command
    assert '--resume' not in command


def log_validation(run, *epochs):
    folder = run.work_dir / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'scalars.json').write_text(
        ''.join(
            json.dumps({'accuracy/top1': 50.0 + epoch, 'step': epoch}) + '\n'
            for epoch in epochs
        )
    )


def test_half_finished_run_is_resumed(plan):
    run = plan()['teacher']
    run.prepare()
    log_validation(run, 1, 2)
    for epoch in (1, 2):
        (run.work_dir / f'epoch_{epoch}.pth').touch()
    assert run.command()[-2:] == ['--resume', f'{run.work_dir}/epoch_2.pth']
    (run.work_dir / 'epoch_2.pth').unlink()
    assert run.command()[-2:] == ['--resume', f'{run.work_dir}/epoch_1.pth']
    (run.work_dir / 'epoch_1.pth').unlink()
    assert '--resume' not in run.command()


def test_run_killed_before_its_last_validation_makes_up_for_it(plan):
    run = plan()['teacher']
    run.prepare()
    log_validation(run, 1, 2)
    for epoch in (2, 3):  # 3 is the last epoch, and not validated
        (run.work_dir / f'epoch_{epoch}.pth').touch()
    assert run.command()[-2:] == ['--resume', f'{run.work_dir}/epoch_2.pth']


def test_changed_config_is_not_taken_for_done(demo, plan, capsys):
    for run in plan().values():
        finish(demo, run)
        assert run.result
    changed = plan('model.backbone.depth=14')
    kept = plan('train_cfg.max_epochs=3')
    assert all(run.result for run in kept.values())
    assert not any(run.result for run in changed.values())
    # A student of another teacher is another student.
    old = kept['kd'].fingerprint
    kept['teacher'].fingerprint = 'changed'
    again = TrainingRun(
        'kd',
        0,
        kept['kd'].config,
        kept['kd'].work_dir.parents[1],
        [*TINY, 'train_cfg.max_epochs=3'],
        (kept['teacher'], kept['student']),
    )
    assert again.fingerprint != old
    changed['teacher'].prepare()
    assert 'kept as' in capsys.readouterr().out
    teacher = changed['teacher'].work_dir
    assert (teacher.with_name('teacher.1') / 'epoch_3.pth').exists()
    assert not (teacher / 'epoch_3.pth').exists()


def test_missing_checkpoint_is_not_done(demo, plan):
    run = plan()['teacher']
    finish(demo, run)
    (run.work_dir / 'epoch_3.pth').unlink()
    assert run.result is None


def test_extra_configs(plan, monkeypatch):
    monkeypatch.chdir(DEMO.parents[1])
    (extra,) = Path('configs/dskd/digits').glob('dskd-uniform_*.py')
    (main,) = Path('configs/dskd/digits').glob('dskd_*.py')
    runs = plan(extra=[str(extra), str(main)])
    assert list(runs) == METHODS + [extra.stem]
    assert runs[extra.stem].distilled


def test_one_teacher_for_all_seeds(plan):
    first, second = (plan(seed=seed, one_teacher=True) for seed in (0, 1))
    assert list(first) == METHODS
    assert list(second) == METHODS[1:]
    teacher = second['kd'].parents[0]
    assert teacher.work_dir == first['teacher'].work_dir
    # The same runs as those with a teacher per seed, where they are.
    assert first['kd'].fingerprint == plan()['kd'].fingerprint
    assert second['kd'].fingerprint != plan(seed=1)['kd'].fingerprint


def test_time_left(demo, plan):
    progress = demo.Progress(list(plan().values()))
    teacher, student, kd, _ = progress.runs
    assert progress.time_left(teacher, 0) == ('?', '?')
    progress.learn(teacher, 30.0, 3)
    progress.learn(student, 12.0, 3)
    # 1 epoch at 4 s, then 2 runs of 3 epochs at 7 s, the average
    assert progress.time_left(student, 2) == ('0:04', '0:46')
    finish(demo, kd)
    assert progress.time_left(student, 2) == ('0:04', '0:25')


def test_unwritable_work_dir(run_tool, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match='demo.py: work_dir.*can be written'):
        run_tool('demo.py', '--work-dir', tmp_path / 'file')


def test_failing_run(run_tool, tmp_path):
    with pytest.raises(SystemExit) as error:
        run_tool(
            'demo.py',
            '--work-dir',
            tmp_path,
            '--cfg-options',
            'model.type=Nonsense',
        )
    log = tmp_path / 'seed0/teacher/train.log'
    message = str(error.value)
    assert 'teacher with seed 0 failed (exit code 1)' in message
    assert str(log) in message and 'Nonsense' in message
    assert 'Nonsense' in log.read_text()


def call(tmp_path, *args):
    return subprocess.Popen(
        [
            sys.executable,
            str(DEMO),
            '--work-dir',
            'demo',
            *args,
            '--cfg-options',
            *TINY,
        ],
        cwd=tmp_path,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(path, seconds=120):
    end = time.time() + seconds
    while not path.exists():
        assert time.time() < end, f'{path} did not appear'
        time.sleep(0.1)


@pytest.mark.slow
def test_interrupted_demo_goes_on(tmp_path):
    first = call(tmp_path)
    seed_dir = tmp_path / 'demo/seed0'
    wait_for(seed_dir / 'student/epoch_1.pth')
    first.send_signal(signal.SIGTERM)
    out = first.communicate()[0]
    assert first.returncode == 130
    assert 'run the same command again' in out.lower()
    teacher = (seed_dir / 'teacher/epoch_3.pth').stat().st_mtime

    # Killed without a chance to end its training, which goes on
    second = call(tmp_path)
    wait_for(seed_dir / 'kd/epoch_1.pth')
    second.kill()
    second.communicate()

    third = call(tmp_path)
    out = third.communicate()[0]
    assert third.returncode == 0
    assert 'seed 0 teacher: top-1' in out and '(finished earlier)' in out
    assert re.search(r'  dskd - kd: [+-]\d+\.\d\d, 1 seed', out)
    assert (seed_dir / 'teacher/epoch_3.pth').stat().st_mtime == teacher
    results = json.loads((tmp_path / 'demo/results.json').read_text())
    assert [result['method'] for result in results] == METHODS
    for result in results:
        assert set(result) == {
            'method',
            'seed',
            'accuracy_top1',
            'params',
            'seconds',
            'config',
            'checkpoint',
        }
        assert (DEMO.parents[1] / result['config']).is_file()
        assert (tmp_path / result['checkpoint']).is_file()
        assert result['seconds'] > 0
    student, kd, dskd = results[1:]
    assert student['params'] == kd['params'] == dskd['params']
    assert kd['checkpoint'] == 'demo/seed0/kd/epoch_3_student.pth'
    report = (tmp_path / 'demo/report.png').stat()
    assert report.st_size > 10000

    # The exported student gives what has been reported.
    test = DEMO.with_name('test.py')
    cfg = Config.fromfile(seed_dir / 'dskd/student_config.py')
    assert cfg.model.type == 'ImageClassifier'
    subprocess.run(
        [
            sys.executable,
            str(test),
            str(seed_dir / 'dskd/student_config.py'),
            dskd['checkpoint'],
            '--work-dir',
            'test',
            '--cfg-options',
            'test_dataloader.num_batch_per_epoch=1',
        ],
        cwd=tmp_path,
        check=True,
    )
    (path,) = (tmp_path / 'test').glob('*/*.json')
    assert (
        json.loads(path.read_text())['accuracy/top1'] == dskd['accuracy_top1']
    )

    # Another seed comes on top, and stays when it is not asked for.
    for seeds in ('2', '1'):
        more = call(tmp_path, '--seeds', seeds)
        out = more.communicate()[0]
        assert more.returncode == 0
        assert '2 seeds' in out
        results = json.loads((tmp_path / 'demo/results.json').read_text())
        assert [result['seed'] for result in results] == [0] * 4 + [1] * 4
