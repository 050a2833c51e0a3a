import json
import subprocess
import sys
import threading

import pytest
from test_experiments import trainings

from mmdskd.experiments.progress import Progress
from mmdskd.experiments.training import (
    TrainingError,
    carry_out,
    exclusive,
    train,
)
from mmdskd.experiments.training_run import TrainingRun

TOP1 = dict(teacher=90.0, student=80.0, kd=82.0, dskd=85.0)


def test_carry_out(plan, tmp_path, monkeypatch, capsys):
    """A second seed comes on top, and stays when it is not asked for."""

    def command(run):
        trainings.train(run, TOP1[run.method] + run.seed)
        trained.append((run.seed, run.method))
        return [sys.executable, '-c', '']

    monkeypatch.setattr(TrainingRun, 'command', command)
    monkeypatch.setattr(
        Progress, 'watch', lambda self, run, child: child.wait()
    )
    runs = [(seed, method) for seed in (0, 1) for method in TOP1]
    for seeds, new in ((1, runs[:4]), (2, runs[4:]), (1, [])):
        trained = []
        results = carry_out(plan(), seeds)
        assert trained == new
        asked = runs[: 4 * seeds]
        assert capsys.readouterr().out.splitlines() == [
            f'[{number}/{len(asked)}] seed {run[0]} {run[1]}: top-1 '
            f'{TOP1[run[1]] + run[0]:.2f} % in 1:00'
            + ('' if run in new else ' (finished earlier)')
            for number, run in enumerate(asked, 1)
        ]
    assert results == json.loads((tmp_path / 'results.json').read_text())
    assert [
        (result['seed'], result['method'], result['accuracy_top1'])
        for result in results
    ] == [(seed, method, TOP1[method] + seed) for seed, method in runs]
    assert (tmp_path / 'report.png').read_bytes().startswith(b'\x89PNG')


def test_unwritable_work_dir(plan, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='work_dir.*can be written'):
        carry_out(plan()._replace(work_dir=tmp_path / 'file'), 1)


def test_failing_training(plan_runs, monkeypatch):
    run = plan_runs()['teacher']
    monkeypatch.setattr(
        TrainingRun,
        'command',
        lambda run: [
            sys.executable,
            '-c',
            'import sys; print("one line"); sys.exit("Nonsense")',
        ],
    )
    with pytest.raises(TrainingError) as error:
        train(run, Progress([run]), 2)
    log = run.work_dir / 'train.log'
    message = str(error.value)
    assert 'teacher with seed 0 failed (exit code 1)' in message
    assert str(log) in message and 'Nonsense' in message
    assert sorted(log.read_text().split('\n')) == ['', 'Nonsense', 'one line']
    assert run.result is None


def test_interrupt_ends_the_training(plan_runs, monkeypatch):
    run = plan_runs()['teacher']
    children = []

    def watch(self, run, child):
        children.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, 'watch', watch)
    monkeypatch.setattr(
        TrainingRun,
        'command',
        lambda run: [sys.executable, '-c', 'import time; time.sleep(600)'],
    )
    with pytest.raises(KeyboardInterrupt):
        train(run, Progress([run]), 2)
    (child,) = children
    assert child.returncode


def test_training_that_outlives_its_demo_keeps_others_out(tmp_path, capsys):
    with exclusive(tmp_path) as lock:
        training = subprocess.Popen(
            [sys.executable, '-c', 'input()'],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],
        )
    entered = threading.Event()

    def start_another():
        with exclusive(tmp_path):
            entered.set()

    threading.Thread(target=start_another, daemon=True).start()
    assert not entered.wait(0.3)
    training.communicate()
    assert entered.wait(60)
    assert capsys.readouterr().out == (
        f'Another demo, or a training of one, works in {tmp_path}: waiting '
        'for it to end.\n'
    )
