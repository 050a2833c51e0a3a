import os
import socket
import subprocess
import sys

import pytest
import torch

from mmdskd.models import ProportionalStrategy

RANK = """
import sys
import mmdskd
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmdskd.utils.cli import distribute_on_cpu

losses = []

@HOOKS.register_module()
class Spy(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, *args, **kwargs):
        loss = runner.model.module.distiller.distill_losses['loss_dskd']
        losses.append(loss.last_losses)

torch.set_num_threads(1)
cfg = Config.fromfile(sys.argv[1])
cfg.launcher = 'pytorch'
distribute_on_cpu(cfg)
runner = Runner.from_cfg(cfg)
runner.train()
loss = runner.model.module.distiller.distill_losses['loss_dskd']
heads = runner.model.module.distiller.connectors.state_dict()
torch.save(dict(losses=losses, state=loss.state_dict(),
                heads=heads), f'{sys.argv[2]}/rank{runner.rank}.pth')
"""


@pytest.fixture
def ranks(dskd_config, tmp_path):
    """Train on two processes; return what each of them saw."""

    def run(algorithm, **hook):
        dskd_config.model.type = algorithm
        dskd_config.custom_hooks[0].update(
            strategy='proportional', ema_decay=0, **hook)
        dskd_config.custom_hooks.append(dict(type='Spy'))
        dskd_config.val_dataloader = dskd_config.val_cfg = None
        dskd_config.val_evaluator = None
        config, script = tmp_path / 'config.py', tmp_path / 'rank.py'
        dskd_config.dump(config)
        script.write_text(RANK)
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        processes = [
            subprocess.Popen(
                [sys.executable, script, config, tmp_path],
                env=dict(
                    os.environ,
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE='2',
                    MASTER_ADDR='127.0.0.1',
                    MASTER_PORT=str(port),
                    PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True) for rank in range(2)
        ]
        try:
            for process in processes:
                output, _ = process.communicate(timeout=240)
                assert process.returncode == 0, output[-4000:]
        finally:
            for process in processes:
                process.kill()
        return [
            torch.load(tmp_path / f'rank{rank}.pth', weights_only=True)
            for rank in range(2)
        ]

    return run


@pytest.mark.parametrize('algorithm, hook, interval', [
    ('mmdskd.FrozenTeacherDistill', dict(), 1),
    ('mmrazor.SingleTeacherDistill', dict(by_epoch=True), 3),
])
def test_weights_are_the_same_on_all_ranks(ranks, algorithm, hook, interval):
    first, second = ranks(algorithm, **hook)
    assert len(first['losses']) == 9  # 3 epochs of 100 / (2 x 20), rounded up
    for name, value in first['state'].items():
        assert torch.equal(value, second['state'][name]), name
    for name, value in first['heads'].items():
        if 'running' not in name:  # BN statistics are those of each rank
            assert torch.equal(value, second['heads'][name]), name
    for term in ('logit', 'feat'):
        ours, theirs = (
            torch.stack([row[term] for row in rank['losses'][-interval:]])
            for rank in (first, second))
        assert not torch.equal(ours, theirs)
        mean = torch.cat([ours, theirs]).mean(dim=0)
        expected = ProportionalStrategy()(mean, mean)
        for rank in (first, second):
            torch.testing.assert_close(
                rank['state'][f'allocation.{term}.weights'], expected)
