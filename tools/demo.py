"""Train teacher, student, KD and DSKD on real digits, and compare them.

Within a seed, all students start from the same weights and see the same
batches, and both distillations have the same teacher. Run again after an
interruption, it goes on.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.cli import make_work_dir
from mmdskd.experiments.comparison import compare
from mmdskd.experiments.progress import Progress, format_time
from mmdskd.experiments.training_run import TOOLS, TrainingRun
from mmdskd.utils.files import write_json

# Teacher and student, and how the names of their configs end.
PAIRS = {
    'resnet20_resnet8-thin': '1xb64_digits',
    'resnet32x4_resnet8x4': '1xb16_digits32',
    'wrn40-2_shufflenetv1': '1xb16_digits32',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--seeds',
        type=int,
        default=1,
        help='number of seeds: 0, 1, ... (default: 1)',
    )
    parser.add_argument(
        '--pair',
        choices=list(PAIRS),
        default=list(PAIRS)[0],
        help='teacher and student (default: %(default)s); the others are '
        'networks of the CIFAR papers, which take some ten minutes per seed',
    )
    parser.add_argument(
        '--one-teacher',
        action='store_true',
        help='train the teacher with seed 0 alone and let it teach in all '
        'seeds, as with a published checkpoint',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of all runs (default: work_dirs/demo, for another pair '
        'work_dirs/demo_PAIR)',
    )
    parser.add_argument(
        '--extra',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='more distillation configs to compare, such as '
        'configs/dskd/digits/*.py; each is a method named by its file',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that override those of all configs',
    )
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f'--seeds should be at least 1, but got {args.seeds}')
    if args.work_dir is None:
        is_default = args.pair == parser.get_default('pair')
        args.work_dir = Path(
            'work_dirs/demo' if is_default else f'work_dirs/demo_{args.pair}'
        )
    return args


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


def find_methods(pair: str) -> dict[str, str]:
    """Find the configs of the four methods.

    Args:
        pair (str): One of ``PAIRS``.

    Returns:
        dict[str, str]: Path of the config by method, from the root of the
        project.
    """
    ending = PAIRS[pair]
    folder = ending.rpartition('_')[2]
    teacher, student = pair.split('_')
    names = dict(
        teacher=f'vanilla/{folder}/{teacher}',
        student=f'vanilla/{folder}/{student}',
        kd=f'kd/{folder}/kd_{pair}',
        dskd=f'dskd/{folder}/dskd_{pair}',
    )
    return {
        method: f'configs/{name}_{ending}.py' for method, name in names.items()
    }


def plan_runs(seed: int, args: argparse.Namespace) -> list[TrainingRun]:
    """List the runs of a seed, each after those that it needs.

    Args:
        seed (int): Random seed.
        args (Namespace): The arguments of the demo.

    Returns:
        list[TrainingRun]: The runs. Without the teacher's if it is of another seed.
    """
    runs: dict[str, TrainingRun] = {}
    configs = find_methods(args.pair)
    for config in args.extra:
        config = os.path.relpath(config, TOOLS.parent)
        if config not in configs.values():
            configs[Path(config).stem] = config
    for method, config in configs.items():
        parents = (
            ()
            if method in ('teacher', 'student')
            else (runs['teacher'], runs['student'])
        )
        is_shared = method == 'teacher' and args.one_teacher
        runs[method] = TrainingRun(
            method,
            0 if is_shared else seed,
            config,
            args.work_dir,
            args.cfg_options,
            parents,
        )
    return [run for run in runs.values() if run.seed == seed]


def train(run: TrainingRun, progress: Progress, lock: int) -> None:
    """Train a run to its end.

    Args:
        run (TrainingRun): The run.
        progress (Progress): Where to show how it goes.
        lock (int): File descriptor that the training keeps open.

    Raises:
        SystemExit: If the training fails.
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
        raise SystemExit(
            '\n'.join(
                [
                    '',
                    *tail,
                    '',
                    f'The training of {run.method} with seed '
                    f'{run.seed} failed (exit code {child.returncode}). These are '
                    f'the last lines of {log}. What is finished is kept: run the '
                    'same command again to go on.',
                ]
            )
        )
    run.finish()


def draw(runs: list[TrainingRun], path: Path) -> None:
    """Draw the report of finished runs.

    Args:
        runs (list[TrainingRun]): The runs.
        path (Path): The picture.
    """
    teachers = [str(run.work_dir) for run in runs if run.method == 'teacher']
    others = [str(run.work_dir) for run in runs if run.method != 'teacher']
    subprocess.run(
        [
            sys.executable,
            str(TOOLS / 'analysis_tools/plot_dskd.py'),
            *others,
            '--teacher',
            *teachers,
            '-o',
            str(path),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    args = parse_args()
    # A kill ends the demo, and its training, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        make_work_dir(args.work_dir)
    except OSError as error:
        raise SystemExit(f'demo.py: {error}')
    results_file = args.work_dir / 'results.json'
    report = args.work_dir / 'report.png'
    with exclusive(args.work_dir) as lock:
        runs = [
            run for seed in range(args.seeds) for run in plan_runs(seed, args)
        ]
        progress = Progress(runs)
        for run in runs:
            if run.result:
                progress.learn(run, run.result['seconds'], run.max_epochs)
        try:
            for run in runs:
                earlier = ' (finished earlier)' if run.result else ''
                if not run.result:
                    train(run, progress, lock)
                result = run.result
                progress.say(
                    run,
                    f'top-1 {result["accuracy_top1"]:.2f} % in '
                    f'{format_time(result["seconds"])}{earlier}',
                )
        except KeyboardInterrupt:
            print('\nInterrupted. Run the same command again to go on.')
            sys.exit(130)
        # More seeds of an earlier demo count, if they fit the configs.
        for seed in range(args.seeds, len(list(args.work_dir.glob('seed*')))):
            runs += [run for run in plan_runs(seed, args) if run.result]
        results = [run.result for run in runs]
        write_json(results_file, results)
        print(f'\n{compare(results)}\n\nResults: {results_file}')
        draw(runs, report)
        print(f'Picture: {report}')


if __name__ == '__main__':
    main()
