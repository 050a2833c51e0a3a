import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config
from test_experiments.trainings import TINY

from mmdskd.experiments.launchers import count_cores
from mmdskd.experiments.plan import METHODS, Variant
from mmdskd.experiments.training import TrainingError
from mmdskd.utils.files import find_project_folder

TOOLS = find_project_folder('tools')
RESULT = dict(
    method='kd', seed=0, accuracy_top1=90.0, params=5142, seconds=60.0
)


@pytest.fixture
def plans(monkeypatch) -> list:
    """What the demo would carry out."""
    calls = []

    def carry_out(plan, seeds, jobs, threads):
        calls.append((plan, seeds, jobs, threads))
        return [RESULT]

    monkeypatch.setattr('mmdskd.experiments.training.carry_out', carry_out)
    return calls


@pytest.fixture
def fail(monkeypatch):
    """Let the demo end by an error."""

    def carry_out_with(error):
        def carry_out(plan, seeds, jobs, threads):
            raise error

        monkeypatch.setattr('mmdskd.experiments.training.carry_out', carry_out)

    return carry_out_with


@pytest.fixture(autouse=True)
def restore_signals():
    """The demo catches SIGTERM."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize(
    'options, work_dir',
    [
        ([], 'work_dirs/demo'),
        (
            ['--pair', 'resnet32x4_resnet8x4'],
            'work_dirs/demo_resnet32x4_resnet8x4',
        ),
        (['--pair', 'resnet32x4_resnet8x4', '--work-dir', 'here'], 'here'),
    ],
)
def test_work_dir_is_that_of_the_pair(run_tool, plans, options, work_dir):
    run_tool('demo.py', *options)
    ((plan, seeds, jobs, threads),) = plans
    assert (jobs, threads) == (count_cores(), 1)
    assert str(plan.work_dir) == work_dir
    pair = options[1] if options else 'resnet18_resnet18-thin'
    assert (plan.pair, seeds) == (pair, 1)
    assert (plan.extra, plan.options, plan.one_teacher) == ([], [], False)
    assert (plan.methods, plan.variants) == (METHODS, {})
    assert plan.teacher_from is None


def test_options(run_tool, plans, capsys):
    run_tool(
        'demo.py',
        *('--seeds', 3, '--one-teacher', '--extra', 'a.py', 'b.py'),
        *('--cfg-options', 'c=1', 'd=2'),
        *('--methods', 'kd', 'dskd', '--teacher-from', 'there'),
        *('--jobs', 4, '--threads', 3),
    )
    ((plan, *numbers),) = plans
    assert numbers == [3, 4, 3]
    assert plan.one_teacher
    assert plan.methods == ['kd', 'dskd']
    assert plan.teacher_from == Path('there')
    assert (plan.extra, plan.options) == (['a.py', 'b.py'], ['c=1', 'd=2'])
    out = capsys.readouterr().out
    assert re.search(r'^kd +90\.00 +5,142 +1:00 +1$', out, re.MULTILINE)
    assert out.endswith(
        '\n\nResults: work_dirs/demo/results.json\n'
        'Picture: work_dirs/demo/report.png\n'
    )


def test_variants(run_tool, plans):
    run_tool(
        'demo.py',
        *('--variant', 'a', 'x=1', 'y=[1, 2]', '--variant', 'b', 'kd', 'z=3'),
        *('--variant', 'c', 'd.py', '--variant', 'same'),
    )
    ((plan, *_),) = plans
    assert plan.variants == dict(
        a=Variant('dskd', ['x=1', 'y=[1, 2]']),
        b=Variant('kd', ['z=3']),
        c=Variant('d.py', []),
        same=Variant('dskd', []),
    )


@pytest.mark.parametrize('threads, jobs', [(2, 2), (3, 1), (9, 1)])
def test_jobs_by_threads(run_tool, plans, monkeypatch, threads, jobs):
    monkeypatch.setattr('mmdskd.experiments.launchers.count_cores', lambda: 5)
    run_tool('demo.py', '--threads', threads)
    assert plans[0][2:] == (jobs, threads)


@pytest.mark.parametrize('option', ['--seeds', '--jobs', '--threads'])
def test_none_at_all(run_tool, plans, capsys, option):
    with pytest.raises(SystemExit):
        run_tool('demo.py', option, 0)
    assert (
        f"argument {option}: should be a whole number >= 1, but got '0'"
    ) in capsys.readouterr().err
    assert plans == []


@pytest.mark.parametrize(
    'error, code',
    [
        (TrainingError('exit code 1'), 'exit code 1'),
        (OSError('no place'), 'demo.py: no place'),
        (ValueError('bad name'), 'demo.py: bad name'),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors(run_tool, fail, capsys, error, code):
    fail(error)
    with pytest.raises(SystemExit) as info:
        run_tool('demo.py')
    assert info.value.code == code
    interrupted = 'Run the same command again' in capsys.readouterr().out
    assert interrupted == (code == 130)


def call(tmp_path, *args):
    return subprocess.Popen(
        [
            sys.executable,
            str(TOOLS / 'demo.py'),
            *('--work-dir', 'demo', *args),
            *('--cfg-options', *TINY),
        ],
        cwd=tmp_path,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, f'{path} did not appear'
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # nine processes, on a machine that may be busy
def test_interrupted_demo_goes_on(tmp_path):
    first = call(tmp_path, '--jobs', '1')
    seed_dir = tmp_path / 'demo/seed0'
    wait_for(seed_dir / 'student/epoch_1.pth', first)
    first.send_signal(signal.SIGTERM)
    out = first.communicate()[0]
    assert first.returncode == 130
    assert 'run the same command again' in out.lower()
    teacher = (seed_dir / 'teacher/epoch_3.pth').stat().st_mtime

    # Killed without a chance to end its training, which goes on
    second = call(tmp_path)
    wait_for(seed_dir / 'kd/epoch_1.pth', second)
    second.kill()
    second.communicate()

    third = call(tmp_path)
    out = third.communicate()[0]
    assert third.returncode == 0
    assert 'seed 0 teacher: top-1' in out and '(finished earlier)' in out
    assert re.search(r'  dskd - kd: [+-]\d+\.\d\d, 1 seed', out)
    assert (seed_dir / 'teacher/epoch_3.pth').stat().st_mtime == teacher
    results = json.loads((tmp_path / 'demo/results.json').read_text())
    assert [result['method'] for result in results] == [
        'teacher',
        'student',
        'kd',
        'dskd',
    ]
    for result in results:
        assert set(result) == {
            *RESULT,
            *('config', 'options', 'checkpoint', 'top1_by_epoch'),
            *('threads', 'torch'),
        }
        assert (TOOLS.parent / result['config']).is_file()
        assert (tmp_path / result['checkpoint']).is_file()
        assert result['seconds'] > 0
    student, kd, dskd = results[1:]
    assert student['params'] == kd['params'] == dskd['params']
    assert kd['checkpoint'] == 'demo/seed0/kd/epoch_3_student.pth'
    assert Path(tmp_path, 'demo/report.png').stat().st_size > 10000

    # The exported student gives what has been reported.
    student_config = seed_dir / 'dskd/student_config.py'
    assert Config.fromfile(student_config).model.type == 'ImageClassifier'
    subprocess.run(
        [
            sys.executable,
            str(TOOLS / 'test.py'),
            str(student_config),
            dskd['checkpoint'],
            *('--work-dir', 'test', '--cfg-options'),
            'test_dataloader.num_batch_per_epoch=1',
        ],
        cwd=tmp_path,
        check=True,
    )
    (path,) = (tmp_path / 'test').glob('*/*.json')
    assert (
        json.loads(path.read_text())['accuracy/top1'] == dskd['accuracy_top1']
    )
