"""Train teacher, student, KD and DSKD on real digits, and compare them.

Within a seed, all students start from the same weights and see the same
batches, and both distillations have the same teacher. Run again after an
interruption, it goes on.
"""

import argparse
import fcntl
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.utils.cli import add_cfg_options, load_config, make_work_dir
from mmdskd.utils.files import write_json
from mmdskd.utils.run_log import read_run_log, training_seconds
from mmdskd.utils.statistics import format_mean_std, paired_difference
from mmdskd.utils.student import CONFIG_NAME, student_path

TOOLS = Path(__file__).resolve().parent
# Teacher and student, and how the names of their configs end.
PAIRS = {
    'resnet20_resnet8-thin': '1xb64_digits',
    'resnet32x4_resnet8x4': '1xb16_digits32',
    'wrn40-2_shufflenetv1': '1xb16_digits32',
}
ACCURACY = 'accuracy/top1'


class Run:
    """One training: a method with a seed.

    Its folder holds what ``tools/train.py`` writes, the output of that in
    ``train.log``, and ``run.json``: what is trained, and when it is finished
    also the result.

    Args:
        method (str): Name of the method, and of the folder.
        seed (int): Random seed.
        config (str): Path of the config, from the root of the project.
        root (Path): Folder of the whole demo.
        options (list[str]): ``KEY=VALUE`` settings that override the config.
        parents (list[Run]): The runs that this one needs. Defaults to none.
    """

    def __init__(
        self,
        method: str,
        seed: int,
        config: str,
        root: Path,
        options: list[str],
        parents: tuple['Run', ...] = (),
    ) -> None:
        self.method = method
        self.seed = seed
        self.config = config
        self.options = [*options, f'randomness.seed={seed}']
        self.parents = parents
        self.work_dir = root / f'seed{seed}' / method
        self.student_init = root / f'seed{seed}' / 'student_init.pth'
        self.cfg = load_config(self.config_path)
        self.cfg.merge_from_dict(parse_options(self.options))
        self.max_epochs = self.cfg.train_cfg.max_epochs
        self.distilled = 'architecture' in self.cfg.model
        content = [self.cfg.to_dict(), [run.fingerprint for run in parents]]
        self.fingerprint = hashlib.sha256(
            json.dumps(content, sort_keys=True, default=str).encode()
        ).hexdigest()

    @property
    def config_path(self) -> str:
        return os.path.relpath(TOOLS.parent / self.config)

    @property
    def state(self) -> dict:
        """dict: What ``run.json`` says, if it is about this very config."""
        path = self.work_dir / 'run.json'
        state = json.loads(path.read_text()) if path.exists() else {}
        return state if state.get('fingerprint') == self.fingerprint else {}

    @property
    def result(self) -> Optional[dict]:
        """dict: The result, once the run is finished."""
        result = self.state.get('result')
        if result is None:
            return None
        checkpoint = self.work_dir / result['checkpoint']
        if not checkpoint.is_file():
            return None
        return dict(result, checkpoint=str(checkpoint))

    @property
    def last_checkpoint(self) -> Optional[Path]:
        """Path: The newest checkpoint that has been validated, if any.

        A kill can leave one that is torn, or that has not been validated
        yet; a resume from the last epoch would not make up for it.
        """
        log = read_run_log(self.work_dir)
        validated = log.val[-1]['step'] if log.val else 0
        epochs = [
            epoch
            for epoch in range(1, validated + 1)
            if self.checkpoint_of(epoch).is_file()
        ]
        return self.checkpoint_of(epochs[-1]) if epochs else None

    def checkpoint_of(self, epoch: int) -> Path:
        return self.work_dir / f'epoch_{epoch}.pth'

    def prepare(self) -> None:
        """Make the folder, and set aside one that another config has left."""
        if self.state:
            return
        if self.work_dir.exists():
            kept = set_aside(self.work_dir)
            print(
                f'{self.work_dir} was trained with other settings; it is '
                f'kept as {kept}.'
            )
        self.work_dir.mkdir(parents=True)
        if self.method == 'student':
            save_initial_weights(self.cfg, self.seed, self.student_init)
        write_json(
            self.work_dir / 'run.json', dict(fingerprint=self.fingerprint)
        )

    def command(self) -> list[str]:
        """Put together the call of ``tools/train.py``.

        Returns:
            list[str]: The call. It goes on from the last checkpoint.
        """
        options = list(self.options)
        if self.method != 'teacher':
            student = 'model.architecture' if self.distilled else 'model'
            options += [
                f'{student}.init_cfg.type=Pretrained',
                f'{student}.init_cfg.checkpoint={self.student_init}',
            ]
        if self.distilled:
            teacher = self.parents[0].result['checkpoint']
            options.append(f'model.teacher_ckpt={teacher}')
        command = [
            sys.executable,
            str(TOOLS / 'train.py'),
            self.config_path,
            '--work-dir',
            str(self.work_dir),
            '--cfg-options',
            *options,
        ]
        if self.last_checkpoint:
            command += ['--resume', str(self.last_checkpoint)]
        return command

    def finish(self) -> None:
        """Write the result of a training that has come to its end."""
        last = read_run_log(self.work_dir).val[-1]
        checkpoint = self.last_checkpoint.name
        cfg = self.cfg
        if self.distilled:
            checkpoint = student_path(checkpoint)
            cfg = Config.fromfile(self.work_dir / CONFIG_NAME)
        network = build_network(cfg)
        result = dict(
            method=self.method,
            seed=self.seed,
            accuracy_top1=last[ACCURACY],
            params=sum(p.numel() for p in network.parameters()),
            seconds=round(training_seconds(self.work_dir), 1),
            config=self.config,
            checkpoint=checkpoint,
        )
        write_json(
            self.work_dir / 'run.json',
            dict(fingerprint=self.fingerprint, result=result),
        )


class Progress:
    """Shows how far the runs are, and how much time they will take.

    Args:
        runs (list[Run]): All runs of the demo, in order.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        self.on_terminal = sys.stdout.isatty()
        # Seconds per epoch of each method, as far as they are known.
        self.rates: dict[str, float] = {}

    def say(self, run: Run, message: str, final: bool = True) -> None:
        """Print a line about a run.

        Args:
            run (Run): The run.
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

    def learn(self, run: Run, seconds: float, epochs: int) -> None:
        """Learn from a run how long an epoch of its method takes.

        Args:
            run (Run): The run.
            seconds (float): Time that it took for ``epochs``.
            epochs (int): Number of epochs.
        """
        if epochs > 0:
            self.rates[run.method] = seconds / epochs

    def time_left(self, run: Run, epoch: int) -> tuple[str, str]:
        """Estimate how long it will take.

        Args:
            run (Run): The run that is being trained.
            epoch (int): Its finished epochs.

        Returns:
            tuple[str, str]: Time left for this run, and for all runs. A
            method that has not been run yet is taken to be as fast as the
            others are on average.
        """
        if not self.rates:
            return '?', '?'
        average = sum(self.rates.values()) / len(self.rates)

        def seconds(run: Run, epoch: int) -> float:
            rate = self.rates.get(run.method, average)
            return rate * (run.max_epochs - epoch)

        later = self.runs[self.runs.index(run) + 1 :]
        this = seconds(run, epoch)
        others = sum(seconds(other, 0) for other in later if not other.result)
        return format_time(this), format_time(this + others)

    def watch(self, run: Run, child: subprocess.Popen) -> None:
        """Show the progress of a training until it ends.

        Args:
            run (Run): The run.
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


def parse_options(options: list[str]) -> dict:
    """Read settings as ``tools/train.py`` does.

    Args:
        options (list[str]): Settings, ``KEY=VALUE``.

    Returns:
        dict: Their values by key.
    """
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def format_time(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours in front."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02}:{seconds:02}'
    return f'{minutes}:{seconds:02}'


def set_aside(folder: Path) -> Path:
    """Rename a folder to the first free one of ``name.1``, ``name.2``..."""
    number = 1
    while folder.with_name(f'{folder.name}.{number}').exists():
        number += 1
    return folder.rename(folder.with_name(f'{folder.name}.{number}'))


def build_network(cfg: Config) -> nn.Module:
    """Build the network of a plain config, without its weights."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    with warnings.catch_warnings():
        # MMPretrain warns of compiled operators that no network here needs.
        warnings.simplefilter('ignore')
        return MODELS.build(cfg.model)


def save_initial_weights(cfg: Config, seed: int, path: Path) -> None:
    """Save the weights from which all students of a seed start.

    Args:
        cfg (Config): Config of the plain student.
        seed (int): Random seed.
        path (Path): The file.
    """
    set_random_seed(seed)
    network = build_network(cfg)
    # It would log each initialised parameter.
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    network.init_weights()
    temporary = path.with_suffix('.tmp')
    torch.save(dict(state_dict=network.state_dict()), temporary)
    os.replace(temporary, path)


def finished_epochs(run: Run) -> int:
    """Count the epochs of a run that are finished.

    Args:
        run (Run): The run.

    Returns:
        int: The epochs, as far as the log tells: an epoch is known to be
        finished when it has been validated or the next one is logged.
    """
    log = read_run_log(run.work_dir)
    validated = log.val[-1]['step'] if log.val else 0
    begun = log.train[-1]['epoch'] if log.train else 1
    return max(validated, begun - 1)


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


def plan_runs(seed: int, args: argparse.Namespace) -> list[Run]:
    """List the runs of a seed, each after those that it needs.

    Args:
        seed (int): Random seed.
        args (Namespace): The arguments of the demo.

    Returns:
        list[Run]: The runs. Without the teacher's if it is of another seed.
    """
    runs: dict[str, Run] = {}
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
        runs[method] = Run(
            method,
            0 if is_shared else seed,
            config,
            args.work_dir,
            args.cfg_options,
            parents,
        )
    return [run for run in runs.values() if run.seed == seed]


def train(run: Run, progress: Progress, lock: int) -> None:
    """Train a run to its end.

    Args:
        run (Run): The run.
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


def compare(results: list[dict]) -> str:
    """Write the table of methods, and their paired differences.

    Args:
        results (list[dict]): The results of all runs.

    Returns:
        str: The table, with standard deviations and differences (with their
        95 % confidence interval) if there are several seeds.
    """
    top1: dict[str, dict[int, float]] = {}
    for result in results:
        top1.setdefault(result['method'], {})[result['seed']] = result[
            'accuracy_top1'
        ]
    width = max(map(len, top1)) + 2
    lines = [
        f'{"method":{width}}{"top-1 (%)":>15}{"parameters":>14}'
        f'{"time per run":>14}{"seeds":>7}'
    ]
    for method, by_seed in top1.items():
        runs = [result for result in results if result['method'] == method]
        values = list(by_seed.values())
        mean = format_mean_std(values)
        seconds = sum(result['seconds'] for result in runs) / len(runs)
        lines.append(
            f'{method:{width}}{mean:>15}{runs[0]["params"]:>14,}'
            f'{format_time(seconds):>14}{len(values):>7}'
        )
    pairs = [('kd', 'student')]
    pairs += [
        (method, 'kd')
        for method in top1
        if method not in ('teacher', 'student', 'kd')
    ]
    lines += [
        '',
        'Paired differences in top-1 (percentage points; with the '
        '95 % confidence interval of the mean):',
    ]
    for first, second in pairs:
        seeds = sorted(top1.get(first, {}).keys() & top1.get(second, {}))
        if seeds:
            mean, low, high = paired_difference(
                [top1[first][seed] for seed in seeds],
                [top1[second][seed] for seed in seeds],
            )
            interval = (
                f'  [{low:+.2f}, {high:+.2f}], {len(seeds)} seeds'
                if len(seeds) > 1
                else ', 1 seed'
            )
            lines.append(f'  {first} - {second}: {mean:+.2f}{interval}')
    return '\n'.join(lines)


def draw(runs: list[Run], path: Path) -> None:
    """Draw the report of finished runs.

    Args:
        runs (list[Run]): The runs.
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
