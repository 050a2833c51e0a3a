"""Show how far a series of trainings is."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Optional

from rich import progress
from rich.console import Console

from .run_log import read_run_log
from .training_run import ACCURACY, TrainingRun


class Progress:
    """Shows how far the runs are, and how much time they will take.

    A terminal shows a bar for each run that is being trained. Elsewhere, a
    line comes after each tenth of a run, but not at once after another one.
    It is a context while runs are being trained.

    Args:
        runs (Sequence[TrainingRun]): All runs, in order.
        jobs (int): Number of runs at a time, > 0. Defaults to 1.
        console (Console, optional): Where to show it. None means the standard
            output. Defaults to None.
        interval (float): Seconds between two readings of the logs.
            Defaults to 1.
        pause (float): Seconds between two lines at least. Defaults to 10.
    """

    def __init__(
        self,
        runs: Sequence[TrainingRun],
        jobs: int = 1,
        console: Optional[Console] = None,
        interval: float = 1.0,
        pause: float = 10.0,
    ) -> None:
        self.runs = list(runs)
        self.jobs = jobs
        self.console = console or Console()
        self.interval = interval
        self.pause = pause
        # Seconds per epoch of each method, as far as they are known.
        self.rates: dict[str, float] = {}
        self.shown_at = self.said_at = float('-inf')
        self.running: dict[TrainingRun, Watch] = {}
        self.bar = progress.Progress(
            progress.TextColumn('{task.description}', markup=False),
            progress.BarColumn(bar_width=10),
            progress.TextColumn('{task.fields[status]}', markup=False),
            console=self.console,
            auto_refresh=False,
            transient=True,
            disable=not self.console.is_interactive,
        )

    def __enter__(self) -> 'Progress':
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.bar.stop()

    def name(self, run: TrainingRun) -> str:
        """Name a run by its place among all, such as "[1/4] seed 0 kd"."""
        number = self.runs.index(run) + 1
        return f'[{number}/{len(self.runs)}] seed {run.seed} {run.method}'

    def say(self, run: TrainingRun, message: str) -> None:
        """Print a line about a run.

        Args:
            run (TrainingRun): The run.
            message (str): What to say.
        """
        self.console.print(
            f'{self.name(run)}: {message}',
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def learn(self, run: TrainingRun, seconds: float, epochs: int) -> None:
        """Learn from a run how long an epoch of its method takes.

        Args:
            run (TrainingRun): The run.
            seconds (float): Time that it took for ``epochs``.
            epochs (int): Number of epochs.
        """
        if epochs > 0:
            self.rates[run.method] = seconds / epochs

    def begin(self, run: TrainingRun) -> None:
        """Watch a run that has been started."""
        self.running[run] = Watch(
            run,
            self.bar.add_task(
                self.name(run), total=run.max_epochs, status='starting'
            ),
        )

    def end(self, run: TrainingRun) -> None:
        """Watch a run no longer."""
        watch = self.running.pop(run)
        self.learn(run, watch.seconds, run.finished_epochs - watch.first)
        self.bar.remove_task(watch.task)

    def show(self) -> None:
        """Show how far the runs are, unless they have just been shown."""
        now = time.monotonic()
        if now < self.shown_at + self.interval:
            return
        self.shown_at = now
        for watch in self.running.values():
            watch.epoch = watch.run.finished_epochs
            self.learn(watch.run, watch.seconds, watch.epoch - watch.first)
        for run, watch in self.running.items():
            status = self.status(run)
            self.bar.update(watch.task, completed=watch.epoch, status=status)
            step = max(run.max_epochs // 10, 1)
            if (
                self.bar.disable
                and watch.epoch >= watch.shown + step
                and now >= self.said_at + self.pause
            ):
                watch.shown = watch.epoch
                self.said_at = now
                self.say(run, status)
        self.bar.refresh()

    def time_left(self, run: TrainingRun) -> tuple[str, str]:
        """Estimate how long it will take.

        Args:
            run (TrainingRun): A run that is being trained.

        Returns:
            tuple[str, str]: Time left for this run, and for all runs. A
            method that has not been run yet is taken to be as fast as the
            others are on average.
        """
        if not self.rates:
            return '?', '?'
        average = sum(self.rates.values()) / len(self.rates)

        def seconds(run: TrainingRun) -> float:
            epoch = self.running[run].epoch if run in self.running else 0
            rate = self.rates.get(run.method, average)
            return rate * (run.max_epochs - epoch)

        each = [
            seconds(other)
            for other in self.runs
            if other in self.running or not other.result
        ]
        # No run is shared among jobs.
        total = max(sum(each) / self.jobs, *each)
        return format_time(seconds(run)), format_time(total)

    def status(self, run: TrainingRun) -> str:
        """Write how far a run is.

        Args:
            run (TrainingRun): A run that is being trained.

        Returns:
            str: Epoch, accuracy and time left.
        """
        val = read_run_log(run.work_dir).val
        top1 = f'{val[-1][ACCURACY]:.2f} %' if val else '-'
        this, total = self.time_left(run)
        return (
            f'epoch {self.running[run].epoch}/{run.max_epochs}, top-1 '
            f'{top1}, {this} left (all runs: {total})'
        )


class Watch:
    """A run that is being watched.

    Args:
        run (TrainingRun): The run.
        task (TaskID): Its bar.
    """

    def __init__(self, run: TrainingRun, task: progress.TaskID) -> None:
        self.run = run
        self.task = task
        self.first = self.shown = self.epoch = run.finished_epochs
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        """float: Time since it was started."""
        return time.monotonic() - self.start


def format_time(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours in front."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02}:{seconds:02}'
    return f'{minutes}:{seconds:02}'
