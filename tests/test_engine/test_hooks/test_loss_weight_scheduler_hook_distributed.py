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
from mmdskd.cli import distribute_on_cpu
from mmdskd.models.utils.teacher_weights import digest

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
teacher = digest(runner.model.module.teacher)
torch.save(dict(losses=losses, state=loss.state_dict(), heads=heads,
                teacher=teacher), f'{sys.argv[2]}/rank{runner.rank}.pth')
"""


@pytest.fixture
def ranks(dskd_config, run_two_ranks):
    """Train on two processes; return what each of them saw."""

    def run(algorithm, **hook):
        dskd_config.model.type = algorithm
        dskd_config.custom_hooks[0].update(
            strategy='proportional', ema_decay=0, **hook
        )
        dskd_config.custom_hooks.append(dict(type='Spy'))
        dskd_config.val_dataloader = dskd_config.val_cfg = None
        dskd_config.val_evaluator = None
        return run_two_ranks(dskd_config, RANK)

    return run


@pytest.mark.parametrize(
    'algorithm, hook, interval',
    [
        ('mmdskd.FrozenTeacherDistill', dict(), 1),
        ('mmrazor.SingleTeacherDistill', dict(by_epoch=True), 3),
    ],
)
def test_weights_are_the_same_on_all_ranks(ranks, algorithm, hook, interval):
    first, second = ranks(algorithm, **hook)
    assert len(first['losses']) == 9  # 3 epochs of 100 / (2 x 20), rounded up
    for name, value in first['state'].items():
        assert torch.equal(value, second['state'][name]), name
    for name, value in first['heads'].items():
        if 'running' not in name:  # BN statistics are those of each rank
            assert torch.equal(value, second['heads'][name]), name
    assert torch.equal(first['teacher'], second['teacher'])
    for term in ('logit', 'feat'):
        ours, theirs = (
            torch.stack([row[term] for row in rank['losses'][-interval:]])
            for rank in (first, second)
        )
        assert not torch.equal(ours, theirs)
        mean = torch.cat([ours, theirs]).mean(dim=0)
        expected = ProportionalStrategy()(mean, mean)
        for rank in (first, second):
            torch.testing.assert_close(
                rank['state'][f'allocation.{term}.weights'], expected
            )


STOPPED = """
import sys
import mmdskd
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmdskd.cli import distribute_on_cpu

torch.set_num_threads(1)
cfg = Config.fromfile(sys.argv[1])
cfg.launcher = 'pytorch'
distribute_on_cpu(cfg)
runner = Runner.from_cfg(cfg)
model = runner.model.module
seen = [0]
for param in model.distiller.connectors.parameters():
    param.register_hook(lambda grad: seen.append(runner.iter))
error = ''
try:
    runner.train()
except ValueError as raised:
    error = str(raised)
heads = dict(model.distiller.connectors.named_parameters())
torch.save(dict(iter=runner.iter, last=max(seen), error=error,
                student=dict(model.student.named_parameters()), heads=heads),
           f'{sys.argv[2]}/rank{runner.rank}.pth')
"""


@pytest.fixture
def stop(dskd_config, run_two_ranks):
    """Stop the distillation on two processes after one of three epochs."""

    def run(find_unused_parameters):
        dskd_config.model.type = 'mmdskd.FrozenTeacherDistill'
        dskd_config.find_unused_parameters = find_unused_parameters
        dskd_config.custom_hooks.append(
            dict(type='mmrazor.StopDistillHook', stop_epoch=1)
        )
        dskd_config.val_dataloader = dskd_config.val_cfg = None
        dskd_config.val_evaluator = None
        return run_two_ranks(dskd_config, STOPPED)

    return run


def test_training_goes_on_after_the_distillation(stop):
    first, second = stop(find_unused_parameters=True)
    for rank in (first, second):
        # 3 of the 9 iterations distil.
        assert (rank['error'], rank['iter'], rank['last']) == ('', 9, 2)
    for part in ('student', 'heads'):
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), name


def test_unused_parameters_are_told_before_training(stop):
    for rank in stop(find_unused_parameters=False):
        assert rank['iter'] == 0
        assert 'set find_unused_parameters = True' in rank['error']
