"""Train the runs of a plan, several at a time."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmdskd.cli import make_work_dir
from mmdskd.utils.files import write_json

from .folder_lock import exclusive
from .launchers import Launcher, Process, make_launcher
from .plan import Plan
from .progress import Progress, format_time
from .report import save_report
from .training_run import TrainingRun

LOG = 'train.log'


class TrainingError(RuntimeError):
    """A training has ended before its end."""


def carry_out(
    plan: Plan, seeds: int, jobs: int = 1, threads: int = 1
) -> list[dict]:
    """Train what is not finished yet, and print how it goes.

    The results and a picture are left in the folder of the plan.

    Args:
        plan (Plan): The comparison.
        seeds (int): Number of seeds: 0, 1, ...
        jobs (int): Number of trainings at a time, > 0. Defaults to 1.
        threads (int): Number of threads that compute in each of them, > 0.
            Defaults to 1.

    Returns:
        list[dict]: The results, with those of more seeds that earlier calls
        have left.

    Raises:
        FileNotFoundError: If there is no such config, or no finished teacher.
        OSError: If the folder can't be written.
        TrainingError: If a training fails.
        ValueError: If the plan has variants or teachers that don't fit.
    """
    make_work_dir(str(plan.work_dir))
    with exclusive(plan.work_dir) as lock:
        runs = [run for seed in range(seeds) for run in plan.runs(seed)]
        # More seeds of an earlier call count, if they fit the configs.
        all_runs = [*runs, *plan.finished_runs(seeds)]
        progress = Progress(runs, jobs)
        for run in runs:
            if run.result:
                progress.learn(run, run.result['seconds'], run.max_epochs)
                say_result(progress, run, run.result, ' (finished earlier)')
        if any(not run.result for run in runs):
            with make_launcher(threads, lock) as launcher:
                for _ in train(runs, progress, launcher, jobs):
                    write_results(all_runs, plan.results_file)
        results = write_results(all_runs, plan.results_file)
        draw(all_runs, plan.report)
    return results


def write_results(runs: Sequence[TrainingRun], path: Path) -> list[dict]:
    """Write the results of the runs that are finished.

    Args:
        runs (Sequence[TrainingRun]): The runs.
        path (Path): The file, a JSON list.

    Returns:
        list[dict]: The results.
    """
    results = [run.result for run in runs]
    finished = [result for result in results if result]
    write_json(path, finished)
    return finished


def train(
    runs: Sequence[TrainingRun],
    progress: Progress,
    launcher: Launcher,
    jobs: int,
    interval: float = 0.05,
) -> Iterator[TrainingRun]:
    """Train runs to their end, each as soon as what it needs is there.

    Args:
        runs (Sequence[TrainingRun]): The runs. Those that are finished are
            left out.
        progress (Progress): Where to show how it goes.
        launcher (Launcher): Who starts them. It ends what still runs when
            one fails.
        jobs (int): Number of runs at a time, > 0.
        interval (float): Seconds between two looks at them, > 0. Defaults to
            0.05.

    Yields:
        TrainingRun: Each run at its end.

    Raises:
        TrainingError: If a training fails.
    """
    waiting = [run for run in runs if not run.result]
    running: dict[TrainingRun, Process] = {}
    with progress:
        while waiting or running:
            ready = [run for run in waiting if run.is_ready]
            for run in ready[: jobs - len(running)]:
                waiting.remove(run)
                run.prepare()
                running[run] = launcher.start(
                    run.command(), run.work_dir / LOG
                )
                progress.begin(run)
            codes: dict[TrainingRun, int] = {}
            while not codes:
                time.sleep(interval)
                progress.show()
                for run, process in running.items():
                    code = process.poll()
                    if code is not None:
                        codes[run] = code
            for run, code in codes.items():
                del running[run]
                if code:
                    raise TrainingError(describe_failure(run, code))
                result = run.finish(launcher.threads)
                progress.end(run)
                say_result(progress, run, result)
                yield run


def say_result(
    progress: Progress, run: TrainingRun, result: dict, when: str = ''
) -> None:
    """Print the result of a run."""
    progress.say(
        run,
        f'top-1 {result["accuracy_top1"]:.2f} % in '
        f'{format_time(result["seconds"])}{when}',
    )


def describe_failure(run: TrainingRun, code: int) -> str:
    """Say which training has failed, with the end of its output."""
    log = run.work_dir / LOG
    tail = log.read_text().splitlines()[-30:]
    return '\n'.join(
        [
            '',
            *tail,
            '',
            f'The training of {run.method} with seed {run.seed} failed (exit '
            f'code {code}). These are the last lines of {log}. What is '
            'finished is kept, and trainings beside it were stopped: run the '
            'same command again to go on.',
        ]
    )


def draw(runs: list[TrainingRun], path: Path) -> None:
    """Draw the report of finished runs.

    Args:
        runs (list[TrainingRun]): The runs.
        path (Path): The picture.
    """
    folders: dict[str, list[Path]] = {}
    for run in runs:
        folders.setdefault(run.method, []).append(run.work_dir)
    teachers = folders.pop('teacher', [])
    save_report(path, folders, teachers)
