"""Show how far a series of trainings is."""

import subprocess
import time
from collections.abc import Sequence
from typing import Optional

from rich import progress
from rich.console import Console

from .run_log import read_run_log
from .training_run import ACCURACY, TrainingRun


class Progress:
    """Shows how far the runs are, and how much time they will take.

    A terminal shows a bar. Elsewhere, a line comes after each tenth of a run.

    Args:
        runs (Sequence[TrainingRun]): All runs, in order.
        console (Console, optional): Where to show it. None means the standard
            output. Defaults to None.
    """

    def __init__(
        self, runs: Sequence[TrainingRun], console: Optional[Console] = None
    ) -> None:
        self.runs = list(runs)
        self.console = console or Console()
        # Seconds per epoch of each method, as far as they are known.
        self.rates: dict[str, float] = {}

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

    def time_left(self, run: TrainingRun, epoch: int) -> tuple[str, str]:
        """Estimate how long it will take.

        Args:
            run (TrainingRun): The run that is being trained.
            epoch (int): Its finished epochs.

        Returns:
            tuple[str, str]: Time left for this run, and for all runs. A
            method that has not been run yet is taken to be as fast as the
            others are on average.
        """
        if not self.rates:
            return '?', '?'
        average = sum(self.rates.values()) / len(self.rates)

        def seconds(run: TrainingRun, epoch: int) -> float:
            rate = self.rates.get(run.method, average)
            return rate * (run.max_epochs - epoch)

        later = self.runs[self.runs.index(run) + 1 :]
        this = seconds(run, epoch)
        others = sum(seconds(other, 0) for other in later if not other.result)
        return format_time(this), format_time(this + others)

    def status(self, run: TrainingRun, epoch: int) -> str:
        """Write how far a run is.

        Args:
            run (TrainingRun): The run that is being trained.
            epoch (int): Its finished epochs.

        Returns:
            str: Epoch, accuracy and time left.
        """
        val = read_run_log(run.work_dir).val
        top1 = f'{val[-1][ACCURACY]:.2f} %' if val else '-'
        this, total = self.time_left(run, epoch)
        return (
            f'epoch {epoch}/{run.max_epochs}, top-1 {top1}, '
            f'{this} left (all runs: {total})'
        )

    def watch(
        self, run: TrainingRun, child: subprocess.Popen, interval: float = 0.5
    ) -> None:
        """Show the progress of a training until it ends.

        Args:
            run (TrainingRun): The run.
            child (Popen): Its process.
            interval (float): Seconds between two looks at it, > 0.
                Defaults to 0.5.
        """
        first = shown = run.finished_epochs
        start = time.monotonic()
        step = max(run.max_epochs // 10, 1)
        bar = progress.Progress(
            progress.TextColumn('{task.description}', markup=False),
            progress.BarColumn(bar_width=10),
            progress.TextColumn('{task.fields[status]}', markup=False),
            console=self.console,
            auto_refresh=False,
            transient=True,
            disable=not self.console.is_interactive,
        )
        with bar:
            task = bar.add_task(
                self.name(run), total=run.max_epochs, status='starting'
            )
            while child.poll() is None:
                time.sleep(interval)
                epoch = run.finished_epochs
                self.learn(run, time.monotonic() - start, epoch - first)
                status = self.status(run, epoch)
                bar.update(task, completed=epoch, status=status, refresh=True)
                if bar.disable and epoch >= shown + step:
                    shown = epoch
                    self.say(run, status)


def format_time(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours in front."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02}:{seconds:02}'
    return f'{minutes}:{seconds:02}'
