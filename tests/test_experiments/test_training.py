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
    """What is finished counts, also of a seed that is not asked for."""

    def command(run):
        trainings.train(run, TOP1[run.method])
        trained.append(run.method)
        return [sys.executable, '-c', '']

    monkeypatch.setattr(TrainingRun, 'command', command)
    monkeypatch.setattr(
        Progress, 'watch', lambda self, run, child: child.wait()
    )
    other = plan().runs(1)[0]
    other.prepare()
    trainings.train(other, 91.0)
    other.finish()
    for earlier in ('', ' (finished earlier)'):
        trained = []
        results = carry_out(plan(), 1)
        assert trained == ([] if earlier else list(TOP1))
        assert capsys.readouterr().out.splitlines() == [
            f'[{number}/4] seed 0 {method}: top-1 {top1:.2f} % in 1:00'
            f'{earlier}'
            for number, (method, top1) in enumerate(TOP1.items(), 1)
        ]
    assert results == json.loads((tmp_path / 'results.json').read_text())
    assert [
        (result['seed'], result['method'], result['accuracy_top1'])
        for result in results
    ] == [*((0, *item) for item in TOP1.items()), (1, 'teacher', 91.0)]
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
