import json
import sys

import pytest
import torch
from test_experiments import trainings

from mmdskd.experiments import training
from mmdskd.experiments.launchers import ForkLauncher, Launcher
from mmdskd.experiments.progress import Progress
from mmdskd.experiments.training import TrainingError, carry_out, train
from mmdskd.experiments.training_run import TrainingRun
from mmdskd.utils.checkpoint import load_checkpoint_file

TOP1 = dict(teacher=90.0, student=80.0, kd=82.0, dskd=85.0)
RUNS = [(seed, method) for seed in (0, 1) for method in TOP1]


class FakeLauncher:
    """Starts nothing, but leaves what a training leaves.

    Args:
        looks (dict): After how many looks at it a run is seen to be at its
            end, by method. Others are at the first one.
    """

    def __init__(self, **looks):
        self.threads = 1
        self.looks = looks
        self.events = []
        self.running = 0
        self.most = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def start(self, run, log):
        assert log == run.work_dir / 'train.log'
        name = f'{run.method}{run.seed}'
        left = [self.looks.get(run.method, 1)]
        self.events.append(name)
        self.running += 1
        self.most = max(self.most, self.running)

        class Process:
            def poll(process):
                left[0] -= 1
                if left[0]:
                    return None
                trainings.train(run, TOP1[run.method] + run.seed)
                self.events.append(f'-{name}')
                self.running -= 1
                return 0

        return Process()


@pytest.fixture
def fake(monkeypatch):
    """Carry plans out by a fake launcher."""
    monkeypatch.setattr(TrainingRun, 'command', lambda run: run)

    def make(**looks):
        launcher = FakeLauncher(**looks)
        monkeypatch.setattr(
            training, 'make_launcher', lambda threads, lock: launcher
        )
        return launcher

    return make


def test_carry_out(plan, tmp_path, fake, capsys):
    """A second seed comes on top, and stays when it is not asked for."""
    for seeds, new in ((1, RUNS[:4]), (2, RUNS[4:]), (1, [])):
        launcher = fake()
        results = carry_out(plan(), seeds)
        assert launcher.events[::2] == [f'{m}{seed}' for seed, m in new]
        asked = RUNS[: 4 * seeds]
        out = capsys.readouterr().out.splitlines()
        assert [line for line in out if 'epoch' not in line] == [
            f'[{number}/{len(asked)}] seed {run[0]} {run[1]}: top-1 '
            f'{TOP1[run[1]] + run[0]:.2f} % in 1:00'
            + ('' if run in new else ' (finished earlier)')
            for number, run in enumerate(asked, 1)
        ]
    assert results == json.loads((tmp_path / 'results.json').read_text())
    assert [
        (result['seed'], result['method'], result['accuracy_top1'])
        for result in results
    ] == [(seed, method, TOP1[method] + seed) for seed, method in RUNS]
    assert (tmp_path / 'report.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    'jobs, looks, events',
    [
        (
            2,
            dict(teacher=3),
            # The students don't wait for the teacher; all else does.
            'teacher0 student0 -student0 student1 -student1 -teacher0 '
            'kd0 dskd0 -kd0 -dskd0 kd1 dskd1 -kd1 -dskd1',
        ),
        (
            3,
            dict(student=4),
            # Distillations don't wait for the student.
            'teacher0 student0 student1 -teacher0 kd0 -kd0 dskd0 -dskd0 '
            'kd1 -student0 -student1 -kd1 dskd1 -dskd1',
        ),
    ],
)
def test_runs_start_as_soon_as_they_can(plan, fake, jobs, looks, events):
    launcher = fake(**looks)
    carry_out(plan(one_teacher=True), 2, jobs=jobs)
    assert launcher.events == events.split()
    assert launcher.most == jobs


def test_results_are_written_after_each_run(plan, tmp_path, fake, monkeypatch):
    launcher = fake()
    written = []

    def start(run, log):
        path = tmp_path / 'results.json'
        if path.exists():
            results = json.loads(path.read_text())
            written.append([result['method'] for result in results])
        return FakeLauncher.start(launcher, run, log)

    monkeypatch.setattr(launcher, 'start', start)
    carry_out(plan(), 1)
    assert written == [
        ['teacher'],
        ['teacher', 'student'],
        ['teacher', 'student', 'kd'],
    ]


def test_unwritable_work_dir(plan, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='work_dir.*can be written'):
        carry_out(plan()._replace(work_dir=tmp_path / 'file'), 1)


def test_failing_training(plan_runs, monkeypatch, tmp_path):
    """Those beside it are stopped."""
    runs = plan_runs()
    teacher, student = runs['teacher'], runs['student']
    failing, lasting = tmp_path / 'failing.py', tmp_path / 'lasting.py'
    started = tmp_path / 'started'
    failing.write_text(
        'import sys, time\n'
        'from pathlib import Path\n'
        f'while not Path("{started}").exists(): time.sleep(0.01)\n'
        'print("one line", flush=True)\n'
        'sys.exit("Nonsense")\n'
    )
    lasting.write_text(
        'import time\n'
        'from pathlib import Path\n'
        f'Path("{started}").touch()\n'
        'time.sleep(600)\n'
    )
    monkeypatch.setattr(
        TrainingRun,
        'command',
        lambda run: [
            sys.executable,
            str(failing if run is teacher else lasting),
        ],
    )
    launcher = Launcher(1, 2)
    progress = Progress([teacher, student])
    with pytest.raises(TrainingError) as error, launcher:
        for _ in train([teacher, student], progress, launcher, 2):
            pass
    log = teacher.work_dir / 'train.log'
    message = str(error.value)
    assert message.startswith('\none line\nNonsense\n\n')
    assert 'teacher with seed 0 failed (exit code 1)' in message
    assert f'last lines of {log}' in message
    assert teacher.result is student.result is None
    assert [one.poll() for one in launcher.processes] == [1, -15]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_results_depend_on_no_other_run(plan, tmp_path, monkeypatch):
    """Runs that are forked side by side are those that run alone."""
    made = []

    def make_launcher(threads, lock):
        made.append(kinds.pop(0)(threads, lock))
        return made[-1]

    monkeypatch.setattr(training, 'make_launcher', make_launcher)
    kinds = [Launcher, ForkLauncher]
    folders = [tmp_path / name for name in ('alone', 'side')]
    alone, side = (
        carry_out(plan(methods=methods)._replace(work_dir=folder), 1, jobs)
        for folder, jobs, methods in zip(
            folders, (1, 3), (['student', 'dskd'],) * 2
        )
    )
    assert [type(launcher) for launcher in made] == [Launcher, ForkLauncher]
    assert [run['method'] for run in alone] == ['teacher', 'student', 'dskd']
    for mine, theirs in zip(alone, side):
        assert mine['accuracy_top1'] == theirs['accuracy_top1']
        first, second = (
            load_checkpoint_file(run['checkpoint'])['state_dict']
            for run in (mine, theirs)
        )
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name])
