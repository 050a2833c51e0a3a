"""The hook on two processes, which run several configs one after another."""

import copy

import pytest
import torch
from mmengine.config import Config

from mmdskd.models import ProportionalStrategy

RUNS = """
import sys
import mmdskd
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmdskd.cli import distribute_on_cpu
from mmdskd.models.utils.teacher_weights import digest


@HOOKS.register_module()
class Spy(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, *args, **kwargs):
        loss = runner.model.module.distiller.distill_losses['loss_dskd']
        losses.append(loss.last_losses)


def train(cfg):
    runner = Runner.from_cfg(cfg)
    model = runner.model.module
    gradients = [0]
    for param in model.distiller.connectors.parameters():
        param.register_hook(lambda grad: gradients.append(runner.iter))
    error = ''
    try:
        runner.train()
    except ValueError as raised:
        error = str(raised)
    return dict(
        iter=runner.iter,
        last_gradient=max(gradients),
        error=error,
        losses=list(losses),
        state=model.distiller.distill_losses['loss_dskd'].state_dict(),
        parameters=dict(
            [*model.student.named_parameters(prefix='student'),
             *model.distiller.named_parameters(prefix='heads')]),
        teacher=digest(model.teacher),
    )


cfgs = Config.fromfile(sys.argv[1])
distribute_on_cpu(cfgs)  # starts the process group
found = dict()
for name, cfg in cfgs.runs.items():
    losses = []
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        cfgs.model_wrapper_cfg,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    found[name] = train(Config(cfg))
torch.save(found, f'{sys.argv[2]}/rank{torch.distributed.get_rank()}.pth')
"""


def make_runs(config):
    """Configs by name: 3 epochs of 3 iterations, that is of 100 / (2 x 20)."""
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.checkpoint = None
    config.model.type = 'mmdskd.FrozenTeacherDistill'
    config.custom_hooks[0].update(strategy='proportional', ema_decay=0)
    config.custom_hooks.append(dict(type='Spy'))
    runs = {
        name: copy.deepcopy(config)
        for name in ('by_iteration', 'by_epoch', 'stopped', 'refused')
    }
    runs['by_epoch'].model.type = 'mmrazor.SingleTeacherDistill'
    runs['by_epoch'].custom_hooks[0].by_epoch = True
    for name in ('stopped', 'refused'):
        runs[name].custom_hooks.append(
            dict(type='mmrazor.StopDistillHook', stop_epoch=1)
        )
    runs['stopped'].find_unused_parameters = True
    for name, run in runs.items():
        run.experiment_name = name
    return Config(dict(runs={k: v.to_dict() for k, v in runs.items()}))


@pytest.mark.timeout(900)
def test_two_ranks(dskd_config, run_two_ranks):
    ranks = run_two_ranks(make_runs(dskd_config), RUNS)
    check_weights(ranks, 'by_iteration', interval=1)
    check_weights(ranks, 'by_epoch', interval=3)
    check_stopped([rank['stopped'] for rank in ranks])
    for rank in ranks:
        # Told before training.
        assert rank['refused']['iter'] == 0
        assert 'set find_unused_parameters = True' in rank['refused']['error']


def check_alike(first, second, part):
    for name, value in first[part].items():
        assert torch.equal(value, second[part][name]), name


def check_weights(ranks, name, interval):
    """They are the same on all ranks, and follow the losses of both."""
    first, second = (rank[name] for rank in ranks)
    assert first['error'] == second['error'] == ''
    assert len(first['losses']) == 9
    check_alike(first, second, 'state')
    check_alike(first, second, 'parameters')
    assert torch.equal(first['teacher'], second['teacher'])
    for term in ('logit', 'feat'):
        ours, theirs = (
            torch.stack([row[term] for row in rank['losses'][-interval:]])
            for rank in (first, second)
        )
        assert not torch.equal(ours, theirs)
        mean = torch.cat([ours, theirs]).mean(dim=0)
        torch.testing.assert_close(
            first['state'][f'allocation.{term}.weights'],
            ProportionalStrategy()(mean, mean),
        )


def check_stopped(runs):
    """Training goes on after the distillation: 3 of 9 iterations distil."""
    for run in runs:
        found = run['error'], run['iter'], run['last_gradient']
        assert found == ('', 9, 2)
    check_alike(*runs, 'parameters')
