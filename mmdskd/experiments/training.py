"""Train the runs of a plan, one after the other."""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdskd.cli import make_work_dir
from mmdskd.utils.files import write_json

from .plan import Plan
from .progress import Progress, format_time
from .report import save_report
from .training_run import TrainingRun


class TrainingError(RuntimeError):
    """A training has ended before its end."""


@contextmanager
def exclusive(work_dir: Path) -> Iterator[int]:
    """Wait until no other demo works in a folder, and keep others out.

    Args:
        work_dir (Path): The folder.

    Yields:
        int: The file descriptor of the lock. A child that inherits it keeps
        the lock, so that a training that has outlived its demo is not
        started a second time.
    """
    with open(work_dir / 'demo.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f'Another demo, or a training of one, works in {work_dir}: '
                'waiting for it to end.'
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def train(run: TrainingRun, progress: Progress, lock: int) -> dict:
    """Train a run to its end.

    Args:
        run (TrainingRun): The run.
        progress (Progress): Where to show how it goes.
        lock (int): File descriptor that the training keeps open.

    Returns:
        dict: Its result.

    Raises:
        TrainingError: If the training fails.
    """
    run.prepare()
    log = run.work_dir / 'train.log'
    with open(log, 'a') as file:
        child = subprocess.Popen(
            run.command(), stdout=file, stderr=file, pass_fds=[lock]
        )
    try:
        progress.watch(run, child)
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if child.returncode:
        tail = log.read_text().splitlines()[-30:]
        raise TrainingError(
            '\n'.join(
                [
                    '',
                    *tail,
                    '',
                    f'The training of {run.method} with seed {run.seed} '
                    f'failed (exit code {child.returncode}). These are the '
                    f'last lines of {log}. What is finished is kept: run the '
                    'same command again to go on.',
                ]
            )
        )
    return run.finish()


def carry_out(plan: Plan, seeds: int) -> list[dict]:
    """Train what is not finished yet, and print how it goes.

    The results and a picture are left in the folder of the plan.

    Args:
        plan (Plan): The comparison.
        seeds (int): Number of seeds: 0, 1, ...

    Returns:
        list[dict]: The results, with those of more seeds that earlier calls
        have left.

    Raises:
        FileNotFoundError: If there is no such config.
        OSError: If the folder can't be written.
        TrainingError: If a training fails.
    """
    make_work_dir(str(plan.work_dir))
    with exclusive(plan.work_dir) as lock:
        runs = [run for seed in range(seeds) for run in plan.runs(seed)]
        progress = Progress(runs)
        for run in runs:
            if run.result:
                progress.learn(run, run.result['seconds'], run.max_epochs)
        for run in runs:
            result, earlier = run.result, ' (finished earlier)'
            if result is None:
                result, earlier = train(run, progress, lock), ''
            progress.say(
                run,
                f'top-1 {result["accuracy_top1"]:.2f} % in '
                f'{format_time(result["seconds"])}{earlier}',
            )
        # More seeds of an earlier call count, if they fit the configs.
        runs += plan.finished_runs(seeds)
        results = [run.result for run in runs if run.result]
        write_json(plan.results_file, results)
        draw(runs, plan.report)
    return results


def draw(runs: list[TrainingRun], path: Path) -> None:
    """Draw the report of finished runs.

    Args:
        runs (list[TrainingRun]): The runs.
        path (Path): The picture.
    """
    folders: dict[str, list[Path]] = {}
    for run in runs:
        folders.setdefault(run.method, []).append(run.work_dir)
    teachers = folders.pop('teacher')
    save_report(path, folders, teachers)
