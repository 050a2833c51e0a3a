"""Two processes are stopped after the same iteration, and resumed."""

import copy
import signal

import pytest
import torch

SCRIPT = """
import os
import signal
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

import mmdskd
from mmdskd.cli import distribute_on_cpu

config, folder = sys.argv[1:]
rank = int(os.environ['RANK'])


@HOOKS.register_module()
class SignalHook(Hook):
    def __init__(self, at):
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        # Only one of them is asked.
        if runner.iter == self.at and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)


cfg = Config.fromfile(config)
cfg.launcher = 'pytorch'
distribute_on_cpu(cfg)
runner = Runner.from_cfg(cfg)
code = 0
try:
    runner.train()
except SystemExit as stop:
    code = stop.code
torch.save(
    dict(
        code=code,
        iteration=runner.iter + (code != 0),
        weights=runner.model.module.architecture.state_dict(),
        random=torch.get_rng_state(),
    ),
    Path(folder) / f'rank{rank}.pth',
)
"""


@pytest.mark.slow
def test_all_ranks_stop_and_go_on_together(dskd_config, run_two_ranks):
    cfg = dskd_config
    cfg.train_dataloader.dataset.pipeline.insert(
        1, dict(type='mmpretrain.RandomCrop', crop_size=16, padding=1)
    )
    cfg.train_dataloader.batch_size = 4
    # No stop finds them at the end of the run.
    cfg.train_cfg.max_epochs = 40
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.exact_resume = dict(type='mmdskd.ExactResumeHook')
    cfg.randomness.diff_rank_seed = True
    whole = copy.deepcopy(cfg)
    whole.work_dir = f'{cfg.work_dir}_whole'
    expected = run_two_ranks(whole, SCRIPT)

    stopped = copy.deepcopy(cfg)
    stopped.custom_hooks.append(dict(type='SignalHook', at=15))
    results = run_two_ranks(stopped, SCRIPT)
    assert [result['code'] for result in results] == [128 + signal.SIGTERM] * 2
    assert results[0]['iteration'] == results[1]['iteration'] < 13 * 40

    cfg.resume = True
    for result, one in zip(run_two_ranks(cfg, SCRIPT), expected):
        assert result['code'] == one['code'] == 0
        assert torch.equal(result['random'], one['random'])
        for key, value in one['weights'].items():
            assert torch.equal(result['weights'][key], value), key
