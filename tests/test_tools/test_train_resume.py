"""Runs that are stopped and resumed, in this process."""

import copy
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from kill_runs import find_differences, list_files
from mmengine.config import config as config_module
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdskd.experiments.fork_server import find_layout_module
from mmdskd.experiments.run_log import read_run_log
from mmdskd.utils.checkpoint import load_checkpoint_file


class Stopped(Exception):
    """Stands for a kill."""


@HOOKS.register_module()
class StopAtHook(Hook):
    """Stops the run at a stage of a hook, or lets a signal do so."""

    priority = 'LOWEST'

    def __init__(self, stage=None, number=1, signal_number=None):
        self.number = number
        self.signal_number = signal_number
        if stage is not None:
            setattr(self, stage, self.stop)

    def stop(self, runner, *args, **kwargs):
        self.number -= 1
        if self.number == 0:
            if self.signal_number is None:
                raise Stopped
            os.kill(os.getpid(), self.signal_number)


@pytest.fixture
def config(dskd_config):
    """DSKD with augmentation per image and mixup: 3 epochs of 5
    iterations."""
    cfg = dskd_config
    cfg.train_dataloader.dataset.pipeline.insert(
        1, dict(type='mmpretrain.RandomCrop', crop_size=16, padding=1)
    )
    cfg.model.data_preprocessor.update(
        num_classes=10,
        batch_augments=dict(
            augments=[dict(type='mmpretrain.Mixup', alpha=0.8)]
        ),
    )
    cfg.model.distiller.loss_forward_mappings.loss_dskd.pop('gt_labels')
    cfg.default_hooks.update(
        checkpoint=dict(
            type='CheckpointHook',
            interval=1,
            save_best='accuracy/top1',
            rule='greater',
            max_keep_ckpts=2,
        )
    )
    cfg.custom_hooks = [
        dict(type='mmdskd.LossWeightSchedulerHook'),
        dict(type='mmdskd.StudentCheckpointHook'),
        dict(type='EMAHook', momentum=0.1),
        dict(type='StopAtHook'),
    ]
    return cfg


def by_iterations(cfg):
    cfg.train_cfg = dict(by_epoch=False, max_iters=15, val_interval=5)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=5)


def within_epochs(cfg):
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3)


def with_workers(cfg):
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)


def accumulating(cfg):
    cfg.optim_wrapper.accumulative_counts = 2


@pytest.fixture
def train(run_tool, dump, tmp_path):
    """Train a config in a folder of its own; stop it first if a stage is
    named."""

    def train(cfg, name, *options, **stop):
        cfg = copy.deepcopy(cfg)
        cfg.custom_hooks[-1].update(stop)
        cfg.work_dir = str(tmp_path / name)
        path = Path(dump(cfg))
        target = tmp_path / f'config_{name}' / 'run.py'
        target.parent.mkdir(exist_ok=True)
        shutil.move(path, target)
        run_tool('train.py', target, *options)
        return Path(cfg.work_dir)

    return train


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ('change', 'stage', 'number'),
    [
        (None, 'after_val_iter', 4),
        slow(None, 'before_train_epoch', 2),
        slow(by_iterations, 'after_val_iter', 4),
        slow(by_iterations, 'before_train_iter', 8),
        (within_epochs, 'before_train_iter', 9),
        (with_workers, 'after_train_iter', 7),
        slow(accumulating, 'before_val_epoch', 1),
    ],
)
def test_resumed_run_ends_the_same(config, train, change, stage, number):
    if change is not None:
        change(config)
    whole = train(config, 'whole')
    with pytest.raises(Stopped):
        train(config, 'stopped', stage=stage, number=number)
    stopped = train(config, 'stopped', '--resume')
    assert find_differences(stopped, whole) == []
    assert validations(stopped) == validations(whole)


def validations(work_dir):
    return [
        (line['step'], line['accuracy/top1'])
        for line in read_run_log(work_dir).val
    ]


@pytest.mark.parametrize(
    ('stage', 'number', 'signal_number'),
    [
        ('before_train_iter', 13, None),
        ('before_val_epoch', 3, None),
        ('after_val_epoch', 2, signal.SIGTERM),
    ],
)
def test_early_stop_after_a_resume(
    config, train, stage, number, signal_number
):
    """After two validations that are not 100 % better than the first."""
    config.train_cfg.max_epochs = 5
    config.custom_hooks.insert(
        0,
        dict(
            type='EarlyStoppingHook',
            monitor='accuracy/top1',
            rule='greater',
            min_delta=100,
            patience=2,
        ),
    )
    whole = train(config, 'whole')
    assert [step for step, _ in validations(whole)] == [1, 2, 3]
    with pytest.raises((Stopped, SystemExit)):
        train(
            config,
            'stopped',
            stage=stage,
            number=number,
            signal_number=signal_number and int(signal_number),
        )
    stopped = train(config, 'stopped', '--resume')
    assert find_differences(stopped, whole) == []
    # Nor does it go on when it is resumed once more.
    train(config, 'stopped', '--resume')
    assert list_files(stopped) == list_files(whole)


def test_sigterm_saves_within_an_epoch(config, train, capsys):
    """Nothing of the iterations is lost, and the file goes in the end."""
    whole = train(config, 'whole')
    with pytest.raises(SystemExit) as stop:
        train(
            config,
            'stopped',
            stage='after_train_iter',
            number=8,
            signal_number=int(signal.SIGTERM),
        )
    assert stop.value.code == 143
    folder = Path(config.work_dir).parent / 'stopped'
    path = folder / 'interrupted.pth'
    assert (
        f'Stopped by SIGTERM. {path} holds all of it. To go on, run the same '
        'command with --resume.' in capsys.readouterr().err
    )
    assert load_checkpoint_file(path)['meta']['iter'] == 8
    assert (folder / 'last_checkpoint').read_text() == str(path)
    # Twice, as a run that has been resumed knows of the first file.
    with pytest.raises(SystemExit):
        train(
            config,
            'stopped',
            '--resume',
            stage='after_train_iter',
            number=5,
            signal_number=int(signal.SIGTERM),
        )
    train(config, 'stopped', '--resume')
    assert 'not defined in message_hub' not in ''.join(capsys.readouterr())
    assert find_differences(folder, whole) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_in_a_validation(config, train):
    """The checkpoint before it is enough."""
    whole = train(config, 'whole')
    with pytest.raises(SystemExit) as stop:
        train(
            config,
            'stopped',
            stage='after_val_iter',
            number=4,
            signal_number=int(signal.SIGTERM),
        )
    assert stop.value.code == 143
    folder = Path(config.work_dir).parent / 'stopped'
    assert not (folder / 'interrupted.pth').exists()
    train(config, 'stopped', '--resume')
    assert find_differences(folder, whole) == []


def test_ctrl_c_ends_with_a_line(config, train, capsys):
    with pytest.raises(SystemExit) as stop:
        train(
            config,
            'run',
            stage='after_train_iter',
            number=8,
            signal_number=int(signal.SIGINT),
        )
    assert stop.value.code == 130
    path = Path(config.work_dir).parent / 'run' / 'epoch_1.pth'
    assert (
        f'Stopped by Ctrl-C. The newest checkpoint is {path}. To go on, run '
        'the same command with --resume.' in capsys.readouterr().err
    )


def test_ctrl_c_in_the_layout_of_a_config(config, train, monkeypatch):
    """MMEngine makes a SyntaxError of it, and an export goes on."""
    calls = []

    def interrupt(text, **kwargs):
        calls.append(text)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return text, False

    monkeypatch.setattr(
        find_layout_module(config_module), 'FormatCode', interrupt
    )
    with pytest.raises(SystemExit) as stop:
        train(config, 'run')
    assert stop.value.code == 130
    assert len(calls) < 10


def test_another_run_s_files_are_left_alone(config, train, tmp_path):
    first = train(config, 'first')
    names = list_files(first)
    best = next(
        name for name in sorted(names) if re.match(r'best.*\d\.pth', name)
    )
    config.default_hooks.checkpoint.rule = 'less'  # it will be outdated
    config.train_cfg.max_epochs = 5
    second = train(config, 'second', '--resume', first / 'epoch_3.pth')
    assert list_files(first) == names
    kept = {
        name for name in list_files(second) if not name.startswith('best_')
    }
    assert kept == {
        'epoch_4.pth',
        'epoch_4_student.pth',
        'epoch_5.pth',
        'epoch_5_student.pth',
        'last_checkpoint',
        'student_config.py',
    }
    assert best.replace('.pth', '_student.pth') in names


def test_best_checkpoint_of_another_run_is_copied(config, train):
    config.default_hooks.checkpoint.rule = 'less'
    first = train(config, 'first')
    info = load_checkpoint_file(first / 'epoch_3.pth')['message_hub']
    best = Path(info['runtime_info']['best_ckpt'])
    # No later one is better.
    config.default_hooks.checkpoint.rule = 'greater'
    config.val_dataloader.dataset.indices = 1
    second = train(config, 'second', '--resume', first / 'epoch_3.pth')
    copy = second / best.name
    if copy.exists():
        assert copy.read_bytes() == best.read_bytes()
    assert best.exists()


def test_resume_in_a_folder_that_moved(config, train, tmp_path):
    whole = train(config, 'whole')
    with pytest.raises(Stopped):
        train(config, 'stopped', stage='before_train_iter', number=12)
    shutil.move(tmp_path / 'stopped', tmp_path / 'moved')
    moved = train(config, 'moved', '--resume')
    assert find_differences(moved, whole) == []
    assert not (tmp_path / 'stopped').exists()


def test_auto_skips_what_is_torn(config, train, capsys, tmp_path):
    with pytest.raises(Stopped):
        train(config, 'run', stage='before_train_epoch', number=3)
    path = tmp_path / 'run' / 'epoch_2.pth'
    path.write_bytes(path.read_bytes()[:1000])
    (tmp_path / 'run' / 'last_checkpoint').write_bytes(b'')
    train(config, 'run', '--resume')
    errors = capsys.readouterr().err
    assert f'{tmp_path}/run/last_checkpoint is skipped: it holds no' in errors
    assert re.search(rf'{path} is skipped: .*cannot be read', errors)
    assert validations(tmp_path / 'run')[-1][0] == 3


def test_resume_without_a_checkpoint_keeps_load_from(
    config, train, capsys, tmp_path
):
    first = train(config, 'first')
    config.load_from = str(first / 'epoch_3.pth')
    second = train(config, 'second', '--resume')
    assert 'No checkpoint in' in capsys.readouterr().err
    weights = [
        load_checkpoint_file(folder / 'epoch_3.pth')['state_dict']
        for folder in (first, second)
    ]
    name = 'architecture.head.fc.weight'
    assert not torch.equal(weights[0][name], weights[1][name])
    log = next(second.glob('*/*.log')).read_text()
    assert f'Load checkpoint from {config.load_from}' in log


def test_best_checkpoint_is_refused(config, train):
    folder = train(config, 'run')
    best = next(folder.glob('best_*[0-9].pth'))
    with pytest.raises(
        ValueError,
        match='saved without optimizer, as MMEngine saves the best.*Resume '
        f'from {folder}/epoch_3.pth, or start anew.*load_from=',
    ):
        train(config, 'run', '--resume', best)


def test_other_optimizer_is_refused(config, train):
    train(config, 'run')
    config.optim_wrapper.optimizer = dict(type='Adam', lr=0.001)
    with pytest.raises(
        ValueError,
        match='epoch_3.pth does not fit the optimizer of the config: it was '
        'SGD, is Adam. Resume with the config of that run',
    ):
        train(config, 'run', '--resume')


def test_what_is_no_checkpoint_of_a_run_is_refused(config, train, tmp_path):
    path = tmp_path / 'weights.pth'
    checkpoint = load_checkpoint_file(train(config, 'run') / 'epoch_3.pth')
    torch.save(dict(state_dict=checkpoint['state_dict']), path)
    with pytest.raises(
        ValueError,
        match=f'--resume should get a checkpoint that a training has saved, '
        f'but {path} has no meta, message_hub: it holds state_dict',
    ):
        train(config, 'run', '--resume', path)


def test_other_settings_are_told(config, train):
    folder = train(config, 'run')
    config.train_cfg.max_epochs = 4
    config.train_dataloader.batch_size = 10
    train(config, 'run', '--resume')
    log = sorted(folder.glob('*/*.log'))[-1].read_text()
    assert (
        'epoch_3.pth is not exact: train_cfg.max_epochs was 3, is 4; '
        'train_dataloader.batch_size was 20, is 10.' in log
    )


def test_finished_run(config, train):
    folder = train(config, 'run')
    before = list_files(folder)
    train(config, 'run', '--resume')
    log = sorted(folder.glob('*/*.log'))[-1].read_text()
    assert 'there is nothing to train. Raise max_epochs' in log
    assert list_files(folder) == before


def test_middle_of_an_epoch_needs_its_settings(config, train):
    within_epochs(config)
    with pytest.raises(Stopped):
        train(config, 'run', stage='before_train_iter', number=9)
    config.train_dataloader.batch_size = 10
    with pytest.raises(
        ValueError,
        match=r'iter_6.pth was saved within epoch 2, after iteration 6. .*'
        'epochs are of 10 batches; train_dataloader.batch_size was 20, is 10',
    ):
        train(config, 'run', '--resume')


def test_old_checkpoint(config, train):
    folder = train(config, 'run')
    path = folder / 'epoch_2.pth'
    checkpoint = load_checkpoint_file(path)
    del checkpoint['exact_resume']
    torch.save(checkpoint, path)
    train(config, 'run', '--resume', path)
    log = sorted(folder.glob('*/*.log'))[-1].read_text()
    assert 'epoch_2.pth is of an earlier version and holds no random' in log


@pytest.mark.parametrize('what', ['epoch_2.pth', r'\w+.json'])
def test_full_disk(config, train, monkeypatch, capsys, what):
    """The message names the file, what is intact, and how to go on."""
    if what == 'epoch_2.pth':
        sync, calls = os.fsync, []

        def fill(descriptor):
            name = os.readlink(f'/proc/self/fd/{descriptor}')
            if what in name:
                calls.append(name)
                raise OSError(28, 'No space left on device')
            sync(descriptor)

        monkeypatch.setattr(os, 'fsync', fill)
    else:

        def dump(self, value, file_path, file_format):
            with open(file_path, 'a+') as file:
                assert file.writable()
                raise OSError(28, 'No space left on device')

        monkeypatch.setattr(
            'mmengine.visualization.vis_backend.LocalVisBackend._dump', dump
        )
    with pytest.raises(SystemExit) as stop:
        train(config, 'run')
    assert stop.value.code == 1
    errors = capsys.readouterr().err
    assert re.search(
        rf'No space left on device: \S*/{what} could not be written. What '
        'was saved before is intact. .*Free some space first',
        errors,
    )
    folder = Path(config.work_dir).parent / 'run'
    assert not list(folder.glob('.*.tmp'))
    if what == 'epoch_2.pth':
        assert f'The newest checkpoint is {folder}/epoch_1.pth.' in errors
