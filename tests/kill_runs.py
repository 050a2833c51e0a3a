"""Kill runs and resume them: do they end as those that were not killed?

    python tests/kill_runs.py --random 40 --work-dir /tmp/kills

Each run is a tiny one of ``tools/train.py`` on a CPU, with augmentation per
image, mixup, averaged weights, or workers. One line is printed for each.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config

from mmdskd.experiments.launchers import ForkLauncher
from mmdskd.experiments.network import build_network
from mmdskd.utils.checkpoint import load_checkpoint_file
from mmdskd.utils.files import find_project_folder

TESTS = Path(__file__).resolve().parent
DIGITS = 'resnet20_resnet8-thin_1xb64_digits.py'
MIXUP = dict(
    type='mmdskd.AugmentingDataPreprocessor',
    batch_augments=dict(augments=[dict(type='mmpretrain.Mixup', alpha=0.8)]),
)
EMA = dict(type='EMAHook', momentum=0.1)
# What differs between the runs: config, epochs or iterations, workers, ...
RUNS = {
    'dskd epochs': dict(config=f'dskd/digits/dskd_{DIGITS}', mixup=True),
    'dskd epochs workers ema': dict(
        config=f'dskd/digits/dskd_{DIGITS}', workers=2, persistent=True,
        ema=True,
    ),
    'kd iterations ema': dict(
        config=f'kd/digits/kd_{DIGITS}', by_epoch=False, mixup=True, ema=True
    ),
    'kd iterations workers': dict(
        config=f'kd/digits/kd_{DIGITS}', by_epoch=False, workers=2
    ),
    'vanilla epochs ema': dict(
        config='vanilla/digits/resnet8-thin_1xb64_digits.py', ema=True,
        mixup=True, max_keep_ckpts=1,
    ),
    'vanilla within epochs': dict(
        config='vanilla/digits/resnet8-thin_1xb64_digits.py', workers=1,
        saves_by_epoch=False, accumulate=2,
    ),
    'vanilla in memory': dict(
        config='vanilla/digits/resnet8-thin_1xb64_digits.py', in_memory=True,
        interval=2,
    ),
}  # fmt: skip
LAST = r'(epoch_\d|iter_\d+)\.pth'
# Points of KillHook, and how often one comes there before the kill
POINTS = [
    ('half: last_checkpoint', 2),
    ('before replace: last_checkpoint', 2),
    ('after replace: last_checkpoint', 2),
    (f'before save: {LAST}', 2),
    (f'after save: {LAST}', 2),
    ('half: epoch_2.pth', 1),
    ('half: iter_12.pth', 1),
    (f'before replace: {LAST}', 2),
    (f'after replace: {LAST}', 2),
    ('before torch.save', 3),
    ('after torch.save', 4),
    ('before_val_epoch', 2),
    ('after_val_iter', 3),
    ('after_val_epoch', 2),
    (r'before save: best_.*', 2),
    (r'after save: best_.*', 2),
    (r'before replace: best_.*(?<!student)\.pth', 2),
    (r'before remove: best_.*(?<!student)\.pth', 1),
    (r'after remove: best_.*(?<!student)\.pth', 1),
    (r'before remove: (epoch|iter)_\d+\.pth', 1),
    (r'after remove: (epoch|iter)_\d+\.pth', 1),
    ('before export', 2),
    ('after export', 2),
    (r'before replace: .*_student\.pth', 3),
    (r'before remove: .*_student\.pth', 1),
    ('before_train_epoch', 2),
    ('after_train_iter', 9),
    ('before_train_iter', 7),
]


def make_config(run: dict, folder: Path, kill: dict) -> Path:
    """Write the config of a run: 3 epochs of 6 iterations."""
    cfg = Config.fromfile(find_project_folder('configs') / run['config'])
    per_image = Config.fromfile(
        find_project_folder('configs')
        / '_base_/datasets/digits_bs64_per_image.py'
    )
    by_epoch = run.get('by_epoch', True)
    preprocessor = dict(cfg.data_preprocessor)
    if not run.get('in_memory'):
        cfg.train_dataloader = per_image.train_dataloader
        cfg.val_dataloader = per_image.val_dataloader
        cfg.train_dataloader.dataset.indices = 96
        cfg.val_dataloader.dataset.indices = 64
        preprocessor = dict(per_image.data_preprocessor)
        workers = run.get('workers', 0)
        cfg.train_dataloader.num_workers = workers
        cfg.train_dataloader.persistent_workers = run.get('persistent', False)
    else:
        cfg.train_dataloader.dataset.dataset.indices = 96
        cfg.val_dataloader.dataset.dataset.indices = 64
    if run.get('mixup'):
        preprocessor.update(MIXUP)
    cfg.data_preprocessor = preprocessor
    cfg.train_dataloader.batch_size = 16
    cfg.val_dataloader.batch_size = 32
    cfg.test_dataloader = cfg.val_dataloader
    hook = dict(
        interval=run.get('interval', 1), max_keep_ckpts=run.get(
            'max_keep_ckpts', 2
        )
    )  # fmt: skip
    hook['rule'] = 'less'  # later ones are often better by it
    if not by_epoch:
        cfg.train_cfg = dict(by_epoch=False, max_iters=18, val_interval=6)
        cfg.train_dataloader.sampler = dict(
            type='InfiniteSampler', shuffle=True
        )
        cfg.default_hooks.logger.log_metric_by_epoch = False
        cfg.param_scheduler.pop('convert_to_iter_based', None)
        cfg.param_scheduler.update(by_epoch=False, end=18)
        hook.update(by_epoch=False, interval=6)
    else:
        cfg.train_cfg.max_epochs = 3
        cfg.param_scheduler.end = 3
    if not run.get('saves_by_epoch', True):
        hook.update(by_epoch=False, interval=4)
    cfg.default_hooks.checkpoint.update(hook)
    cfg.optim_wrapper.accumulative_counts = run.get('accumulate', 1)
    cfg.default_hooks.logger.interval = 2
    hooks = list(cfg.get('custom_hooks') or [])
    if run.get('ema'):
        hooks.append(EMA)
    cfg.custom_hooks = [*hooks, dict(type='KillHook', **kill)]
    cfg.custom_imports = dict(
        imports=['mmdskd', 'killing'], allow_failed_imports=False
    )
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = str(make_teacher(cfg, folder.parent))
    path = folder.parent / f'config_{folder.name}' / 'run.py'
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return path


def make_teacher(cfg: Config, root: Path) -> Path:
    """Save a teacher, which needs to know nothing."""
    path = root / 'teacher.pth'
    if not path.exists():
        torch.manual_seed(0)
        network = build_network(Config(dict(model=cfg.model.teacher)))
        torch.save(dict(state_dict=network.state_dict()), path)
    return path


class Runs:
    """Starts runs as forks of a process that has imported the stack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        sys.path.insert(0, str(TESTS))
        self.lock = os.open(root / 'lock', os.O_CREAT | os.O_RDWR)
        self.launcher = ForkLauncher(1, self.lock)

    def train(self, run: dict, name: str, kill: dict, *options: str) -> int:
        """Train, and return the exit code."""
        folder = self.root / name
        script = find_project_folder('tools') / 'train.py'
        command = [sys.executable, str(script)]
        command += [str(make_config(run, folder, kill)), '--work-dir']
        command += [str(folder), *options]
        process = self.launcher.start(command, self.root / f'{name}.txt')
        deadline = time.monotonic() + 240
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f'{name}: {command}')
            time.sleep(0.02)
        code = process.poll()
        assert code is not None
        return code

    def close(self) -> None:
        self.launcher.__exit__(None, None, None)
        os.close(self.lock)


def list_files(folder: Path) -> set[str]:
    """Names of what a run keeps, without its logs."""
    return {
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != 'run.py'
    }


def find_differences(folder: Path, reference: Path) -> list[str]:
    """Compare what two runs have left."""
    names = list_files(folder)
    found = []
    if names != list_files(reference):
        found.append(f'files: {sorted(names ^ list_files(reference))}')
    for name in sorted(names & list_files(reference)):
        if name.endswith('.pth'):
            ours = load_checkpoint_file(folder / name)
            theirs = load_checkpoint_file(reference / name)
            found += [
                f'{name}: {key}'
                for key in _differ(_essence(ours), _essence(theirs))
            ]
        elif name == 'last_checkpoint':
            pointers = [
                Path((one / name).read_text()).name
                for one in (folder, reference)
            ]
            if len(set(pointers)) > 1:
                found.append(f'last_checkpoint: {pointers}')
    return found


def _essence(checkpoint: dict) -> dict:
    """Leave out times, and the folder."""
    meta = checkpoint['meta']
    essence = {
        key: checkpoint[key]
        for key in (
            'state_dict',
            'optimizer',
            'ema_state_dict',
            'param_schedulers',
        )
        if key in checkpoint
    }
    essence['progress'] = meta['epoch'], meta['iter']
    if 'message_hub' in checkpoint:
        hub = checkpoint['message_hub']
        essence['history'] = {
            key: buffer._log_history[buffer._log_history != 0].tolist()
            for key, buffer in hub['log_scalars'].items()
            if 'time' not in key and 'memory' not in key
        }
        info = hub['runtime_info']
        essence['best'] = (
            info.get('best_score'),
            Path(info.get('best_ckpt', '')).name,
        )
        essence['kept'] = info.get('keep_ckpt_ids')
    if 'exact_resume' in checkpoint:
        exact = dict(checkpoint['exact_resume'])
        exact.pop('saved_at')
        essence['exact'] = exact
    return essence


def _differ(ours: object, theirs: object, name: str = '') -> list[str]:
    """Names of values that differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            return [f'{name}: keys {set(ours) ^ set(theirs)}']
        return [
            found
            for key in ours
            for found in _differ(ours[key], theirs[key], f'{name}/{key}')
        ]
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return [] if torch.equal(ours, theirs) else [name]
    if isinstance(ours, (list, tuple)) and len(ours) == len(theirs):  # type: ignore[arg-type]
        return [
            found
            for index, pair in enumerate(zip(ours, theirs))  # type: ignore[call-overload]
            for found in _differ(*pair, f'{name}/{index}')
        ]
    return [] if ours == theirs else [f'{name}: {ours!r:.60} {theirs!r:.60}']


def try_kill(runs: Runs, name: str, kill: dict, label: str) -> dict:
    """Kill a run, resume it to its end, and compare."""
    run, folder = RUNS[name], runs.root / 'killed'
    shutil.rmtree(folder, ignore_errors=True)
    log = runs.root / 'killed.txt'
    log.unlink(missing_ok=True)
    code = runs.train(run, 'killed', kill)
    wanted = kill.get('signal_number', signal.SIGKILL)
    is_killed = code == (-wanted if wanted == signal.SIGKILL else 128 + wanted)
    end = runs.train(run, 'killed', {}, '--resume') if is_killed else code
    differences = [f'exit code {end}'] if end else []
    if is_killed and not end:
        differences = find_differences(folder, runs.root / reference(name))
    result = dict(
        name=name, label=label, killed=is_killed, differences=differences
    )
    state = 'same' if is_killed else 'not killed'
    print(
        f'{name:26} {label:50} '
        f'{"; ".join(differences)[:300] if differences else state}',
        flush=True,
    )
    if differences:
        keep = runs.root / f'kept_{time.time():.0f}'
        shutil.copytree(folder, keep / 'killed')
        shutil.copy(log, keep)
    return result


def reference(name: str) -> str:
    return name.replace(' ', '_')


def summarize(results: list[dict]) -> str:
    killed = [result for result in results if result['killed']]
    same = [result for result in killed if not result['differences']]
    return f'{len(killed)} kills, {len(same)} ended the same'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--random', type=int, default=42)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--work-dir', type=Path, required=True)
    args = parser.parse_args()
    runs = Runs(args.work_dir)
    try:
        for name, run in RUNS.items():
            shutil.rmtree(runs.root / reference(name), ignore_errors=True)
            assert runs.train(run, reference(name), {}) == 0, name
        exact = [
            try_kill(runs, name, dict(point=point, number=number), point)
            for index, (point, number) in enumerate(POINTS)
            for name in list(RUNS)[index % len(RUNS) :: 3]
        ]
        print('Placed exactly:', summarize(exact), flush=True)
        draws = random.Random(args.seed)
        drawn: list[dict] = []
        while sum(result['killed'] for result in drawn) < args.random:
            name = draws.choice(list(RUNS))
            number, delay = draws.randrange(1, 19), draws.uniform(0, 0.3)
            kill = dict(point='after_train_iter', number=number, delay=delay)
            label = f'iteration {number} + {delay:.3f} s'
            drawn.append(try_kill(runs, name, kill, label))
        print('At random:', summarize(drawn), flush=True)
    finally:
        runs.close()


if __name__ == '__main__':
    main()
