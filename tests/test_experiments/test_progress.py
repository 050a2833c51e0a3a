import io
import re

import pytest
from rich.console import Console
from test_experiments.logs import train_line, val_line, write_log
from test_experiments.trainings import finish, log_validations

from mmdskd.experiments.progress import Progress, format_time


@pytest.mark.parametrize(
    'seconds, text',
    [(0, '0:00'), (59.6, '1:00'), (61, '1:01'), (3661, '1:01:01')],
)
def test_format_time(seconds, text):
    assert format_time(seconds) == text


def test_time_left(plan_runs):
    progress = Progress(list(plan_runs().values()))
    teacher, student, kd, _ = progress.runs
    assert progress.time_left(teacher, 0) == ('?', '?')
    progress.learn(teacher, 30.0, 3)
    progress.learn(student, 12.0, 3)
    progress.learn(student, 99.0, 0)  # of no epoch, nothing is learnt
    # 1 epoch at 4 s, then 2 runs of 3 epochs at 7 s, the average
    assert progress.time_left(student, 2) == ('0:04', '0:46')
    finish(kd)
    assert progress.time_left(student, 2) == ('0:04', '0:25')


def test_status(plan_runs):
    progress = Progress(list(plan_runs().values()))
    run = progress.runs[0]
    assert progress.status(run, 0) == (
        'epoch 0/3, top-1 -, ? left (all runs: ?)'
    )
    progress.learn(run, 20.0, 1)
    log_validations(run, 1, 2)
    # 1 epoch, then 3 runs of 3 epochs, at 20 s each
    assert progress.status(run, 2) == (
        'epoch 2/3, top-1 52.00 %, 0:20 left (all runs: 3:20)'
    )


class Training:
    """A process that logs an epoch between two looks at it."""

    def __init__(self, run):
        self.run = run
        self.lines = []
        self.epoch = 0

    def poll(self):
        if self.epoch == self.run.max_epochs:
            return 0
        self.epoch += 1
        self.lines += [
            train_line(2 * self.epoch, self.epoch),
            val_line(self.epoch, 50.0 + self.epoch),
        ]
        write_log(self.run.work_dir, self.lines)
        return None


def watch(plan_runs, epochs, **kwargs):
    """Watch a teacher, and return what is shown."""
    out = io.StringIO()
    runs = plan_runs(f'train_cfg.max_epochs={epochs}')
    progress = Progress(
        list(runs.values()), Console(file=out, width=100, **kwargs)
    )
    run = runs['teacher']
    progress.watch(run, Training(run), interval=0.001)
    assert run.finished_epochs == epochs
    return out.getvalue()


def test_a_line_comes_after_each_tenth(plan_runs):
    lines = watch(plan_runs, 20).splitlines()
    assert [re.split(' left|, [0-9:]+', line)[0] for line in lines] == [
        f'[1/4] seed 0 teacher: epoch {epoch}/20, top-1 {50 + epoch}.00 %'
        for epoch in range(2, 21, 2)
    ]


def test_terminal_shows_a_bar(plan_runs):
    text = watch(
        plan_runs,
        3,
        force_terminal=True,
        force_interactive=True,
        legacy_windows=False,
    )
    for epoch in range(1, 4):
        assert f'epoch {epoch}/3, top-1 {50 + epoch}.00 %' in text
    assert '[1/4] seed 0 teacher' in text
    assert '\n[1/4]' not in text  # each takes the place of the one before
