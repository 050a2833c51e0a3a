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
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

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


@pytest.mark.parametrize(
    ('change', 'stage', 'number'),
    [
        (None, 'after_val_iter', 4),
        (None, 'before_train_epoch', 2),
        (by_iterations, 'after_val_iter', 4),
        (by_iterations, 'before_train_iter', 8),
        (within_epochs, 'before_train_iter', 9),
        (with_workers, 'after_train_iter', 7),
        (accumulating, 'before_val_epoch', 1),
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
    assert read_run_log(stopped).val == [
        dict(line, **{key: found[key] for key in line if 'time' in key})
        for line, found in zip(
            read_run_log(whole).val, read_run_log(stopped).val
        )
    ]
