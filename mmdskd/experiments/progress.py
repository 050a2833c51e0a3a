import shutil
import subprocess
import sys
import time

from .run_log import read_run_log
from .training_run import ACCURACY, TrainingRun, finished_epochs


class Progress:
    """Shows how far the runs are, and how much time they will take.

    Args:
        runs (list[TrainingRun]): All runs of the demo, in order.
    """

    def __init__(self, runs: list[TrainingRun]) -> None:
        self.runs = runs
        self.on_terminal = sys.stdout.isatty()
        # Seconds per epoch of each method, as far as they are known.
        self.rates: dict[str, float] = {}

    def say(self, run: TrainingRun, message: str, final: bool = True) -> None:
        """Print a line about a run.

        Args:
            run (TrainingRun): The run.
            message (str): What to say.
            final (bool): Whether the line stays when the next one comes.
                Only a terminal can replace lines. Defaults to True.
        """
        line = (
            f'[{self.runs.index(run) + 1}/{len(self.runs)}] seed '
            f'{run.seed} {run.method}: {message}'
        )
        if not self.on_terminal:
            print(line, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        print(
            '\r' + line[:width].ljust(width),
            end='\n' if final else '',
            flush=True,
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

    def watch(self, run: TrainingRun, child: subprocess.Popen) -> None:
        """Show the progress of a training until it ends.

        Args:
            run (TrainingRun): The run.
            child (Popen): Its process.
        """
        shown = first_epoch = finished_epochs(run)
        start = time.time()
        step = 1 if self.on_terminal else max(run.max_epochs // 10, 1)
        while child.poll() is None:
            time.sleep(0.5)
            epoch = finished_epochs(run)
            self.learn(run, time.time() - start, epoch - first_epoch)
            if self.on_terminal or epoch >= shown + step:
                shown = epoch
                val = read_run_log(run.work_dir).val
                top1 = f'{val[-1][ACCURACY]:.2f} %' if val else '-'
                this, total = self.time_left(run, epoch)
                self.say(
                    run,
                    f'epoch {epoch}/{run.max_epochs}, top-1 {top1}, '
                    f'{this} left (all runs: {total})',
                    False,
                )


def format_time(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours in front."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02}:{seconds:02}'
    return f'{minutes}:{seconds:02}'
