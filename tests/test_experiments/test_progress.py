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
    progress.begin(teacher)
    assert progress.time_left(teacher) == ('?', '?')
    progress.learn(teacher, 30.0, 3)
    finish(teacher)
    progress.running.clear()
    log_validations(student, 1, 2)
    progress.begin(student)
    progress.learn(student, 12.0, 3)
    progress.learn(student, 99.0, 0)  # of no epoch, nothing is learnt
    # 1 epoch at 4 s, then 2 runs of 3 epochs at 7 s, the average
    assert progress.time_left(student) == ('0:04', '0:46')
    finish(kd)
    assert progress.time_left(student) == ('0:04', '0:25')


def test_time_left_side_by_side(plan_runs):
    progress = Progress(list(plan_runs().values()), jobs=2)
    teacher, student = progress.runs[:2]
    for run in (teacher, student):
        progress.begin(run)
    progress.learn(student, 8.0, 1)
    progress.learn(teacher, 12.0, 1)
    # 36 + 24 + twice 30, the average, on two of them
    assert progress.time_left(student) == ('0:24', '1:00')
    progress.learn(teacher, 300.0, 1)
    # The teacher alone takes longer than half of all.
    progress.jobs = 9
    assert progress.time_left(student) == ('0:24', '15:00')


def test_status(plan_runs):
    progress = Progress(list(plan_runs().values()))
    run = progress.runs[0]
    progress.begin(run)
    assert progress.status(run) == ('epoch 0/3, top-1 -, ? left (all runs: ?)')
    progress.learn(run, 20.0, 1)
    log_validations(run, 1, 2)
    progress.running.clear()
    progress.begin(run)
    # 1 epoch, then 3 runs of 3 epochs, at 20 s each
    assert progress.status(run) == (
        'epoch 2/3, top-1 52.00 %, 0:20 left (all runs: 3:20)'
    )


class Training:
    """A training that logs an epoch between two looks at it."""

    def __init__(self, run):
        self.run = run
        self.lines = []

    def log(self, epoch, top1):
        self.lines += [train_line(2 * epoch, epoch), val_line(epoch, top1)]
        write_log(self.run.work_dir, self.lines)


def watch(plan_runs, epochs, interval=0, pause=0, **kwargs):
    """Watch a teacher and its student, and return what is shown."""
    out = io.StringIO()
    runs = plan_runs(f'train_cfg.max_epochs={epochs}')
    progress = Progress(
        list(runs.values()),
        2,
        Console(file=out, width=100, **kwargs),
        interval,
        pause,
    )
    teacher, student = (
        Training(runs[method]) for method in ('teacher', 'student')
    )
    with progress:
        progress.begin(teacher.run)
        progress.begin(student.run)
        for epoch in range(1, epochs + 1):
            teacher.log(epoch, 50.0 + epoch)
            student.log(epoch, 30.0 + epoch)
            progress.show()
        progress.end(teacher.run)
        progress.end(student.run)
    assert set(progress.rates) == {'teacher', 'student'}
    return out.getvalue()


def test_a_line_comes_after_each_tenth(plan_runs):
    lines = watch(plan_runs, 20).splitlines()
    assert [re.split(' left|, [0-9:]+', line)[0] for line in lines] == [
        f'[{number}/4] seed 0 {method}: epoch {epoch}/20, top-1 '
        f'{top1 + epoch}.00 %'
        for epoch in range(2, 21, 2)
        for number, method, top1 in ((1, 'teacher', 50), (2, 'student', 30))
    ]


def test_lines_are_few(plan_runs):
    (line,) = watch(plan_runs, 20, pause=600).splitlines()
    assert line.startswith('[1/4] seed 0 teacher: epoch 2/20')


def test_logs_are_not_read_all_the_time(plan_runs):
    # Once, when no run was at its first tenth
    assert watch(plan_runs, 20, interval=600) == ''


def test_terminal_shows_a_bar_for_each_run(plan_runs):
    text = watch(
        plan_runs,
        3,
        force_terminal=True,
        force_interactive=True,
        legacy_windows=False,
    )
    for epoch in range(1, 4):
        assert f'epoch {epoch}/3, top-1 {50 + epoch}.00 %' in text
        assert f'epoch {epoch}/3, top-1 {30 + epoch}.00 %' in text
    assert '[1/4] seed 0 teacher' in text
    assert '[2/4] seed 0 student' in text
    assert '\n[1/4]' not in text  # each takes the place of the one before
