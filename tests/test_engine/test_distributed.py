"""Training on several processes against training on one."""

import copy

import pytest
import torch
from mmengine.config import Config

LAST_STEP = 4

# Also of the process of the tests, which trains on the whole batches.
COMPONENTS = """
import torch
import mmdskd
from mmengine.hooks import Hook
from mmengine.optim import OPTIMIZERS
from mmengine.registry import HOOKS
from mmengine.dist import get_rank
from torch.nn.modules.batchnorm import _NormBase


@OPTIMIZERS.register_module(force=True)
class RememberingSGD(torch.optim.SGD):
    gradient = None

    def step(self, *args, **kwargs):
        if self.gradient is None:
            self.gradient = torch.cat(
                [p.grad.flatten() for p in self.param_groups[0]['params']
                 if p.grad is not None])
        return super().step(*args, **kwargs)


@HOOKS.register_module(force=True)
class SharpTeacher(Hook):
    # Without it, KL is small: a difference of rounding errors.

    def before_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        model.teacher.head.fc.weight.data *= 50


@HOOKS.register_module(force=True)
class FrozenNorms(Hook):
    def before_train_iter(self, runner, *args, **kwargs):
        for module in runner.model.modules():
            if isinstance(module, _NormBase):
                module.eval()


@HOOKS.register_module(force=True)
class PoisonRank(Hook):
    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1 and get_rank() == 1:
            images = [image.float() for image in data_batch['inputs']]
            images[3][0, 0, 0] = float('nan')
            data_batch['inputs'] = images


@HOOKS.register_module(force=True)
class AbsentBatch(Hook):
    priority = 'VERY_HIGH'

    def before_train(self, runner):
        self.train_step = runner.model.train_step

    def before_train_iter(self, runner, *args, **kwargs):
        runner.model.train_step = (
            (lambda *args, **kwargs: {}) if runner.iter == 1
            else self.train_step)


def train(runner):
    errors = []
    runner.logger.error = errors.append
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    state = {k: v for k, v in model.state_dict().items()
             if not k.startswith('teacher.')}
    return dict(
        iter=runner.iter, errors=errors, state=state,
        gradient=runner.optim_wrapper.optimizer.gradient)
"""

RANK = (
    COMPONENTS
    + """
import sys
from mmengine.config import Config, config
from mmengine.runner import Runner, runner
from mmdskd.cli import distribute_on_cpu
from mmdskd.experiments.fork_server import find_layout_module
from torch.distributed.nn.functional import all_reduce


class HostSyncBatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    # The formula of torch's own, which DDP refuses on a CPU.

    def _check_input_dim(self, input):
        pass

    def forward(self, input):
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        number = input.new_tensor(input.numel() / input.shape[1])
        number = all_reduce(number)
        mean = all_reduce(input.sum(dims)) / number
        centred = input - mean.view(shape)
        var = all_reduce(centred.square().sum(dims)) / number
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            unbiased = var * number / (number - 1)
            self.running_var.lerp_(unbiased, self.momentum)
        scale = self.weight / (var + self.eps).sqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


torch.nn.modules.batchnorm.SyncBatchNorm = HostSyncBatchNorm
# Slow, see quick_runners of conftest.py.
find_layout_module(config).FormatCode = lambda text, **kwargs: (text, False)
runner.collect_env = dict
cfgs = Config.fromfile(sys.argv[1])
distribute_on_cpu(cfgs)  # starts the process group
found = dict()
for name, cfg in cfgs.runs.items():
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = cfgs.model_wrapper_cfg
    found[name] = train(Runner.from_cfg(Config(cfg)))
torch.save(found, f'{sys.argv[2]}/rank{torch.distributed.get_rank()}.pth')
"""
)


def add_components():
    exec(COMPONENTS, scope := {})
    return scope['train']


def make_run(cfg, batch_size, **changes):
    """Two epochs of 80 images, the same ones in a step whatever the ranks."""
    cfg = copy.deepcopy(cfg)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.non_finite = dict(type='mmdskd.NonFiniteHook')
    cfg.train_cfg.max_epochs = 2
    cfg.train_dataloader.batch_size = batch_size
    cfg.train_dataloader.dataset.indices = 80
    cfg.train_dataloader.sampler.shuffle = False
    cfg.optim_wrapper.optimizer.type = 'RememberingSGD'
    cfg.model.type = 'mmdskd.FrozenTeacherDistill'
    cfg.custom_hooks[0].update(strategy='proportional', ema_decay=0.5)
    cfg.custom_hooks.append(dict(type='SharpTeacher'))
    cfg.merge_from_dict(changes)
    return cfg


def freeze_norms(cfg):
    cfg.custom_hooks.append(dict(type='FrozenNorms'))
    return cfg


def make_runs(cfg, ranks):
    """40 images in a step of all ranks."""
    share = 40 // ranks
    accumulated = freeze_norms(
        make_run(cfg, share // 2, **{'optim_wrapper.accumulative_counts': 2})
    )
    # Weights that change amid a step would not be those of one process.
    accumulated.custom_hooks[0].interval = 2
    poisoned = make_run(cfg, share)
    poisoned.custom_hooks.append(dict(type='PoisonRank'))
    absent = make_run(cfg, share)
    absent.custom_hooks.append(dict(type='AbsentBatch'))
    uneven = make_run(
        cfg, 20, **{'train_dataloader.dataset.indices': 20 * ranks + 5}
    )
    runs = dict(
        no_statistics=freeze_norms(make_run(cfg, share)),
        accumulated=accumulated,
        sync_bn=make_run(cfg, share, sync_bn='torch'),
        poisoned=poisoned,
        absent=absent,
        uneven=uneven,
    )
    for name, run in runs.items():
        run.experiment_name = name
    return Config(dict(runs={k: v.to_dict() for k, v in runs.items()}))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    'number', [2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_ranks_train_as_one_process(
    number, dskd_config, run_ranks, build_runner
):
    ranks = run_ranks(make_runs(dskd_config, number), RANK, number)
    train = add_components()
    frozen = train(build_runner(freeze_norms(make_run(dskd_config, 40))))
    normal = train(build_runner(make_run(dskd_config, 40)))
    assert frozen['iter'] == LAST_STEP
    for rank in ranks:
        check_close(rank['no_statistics'], frozen)
        check_close(rank['accumulated'], frozen, iterations=2 * LAST_STEP)
        check_close(rank['sync_bn'], normal)
        check_equal(rank['poisoned']['state'], rank['absent']['state'])
        # The images of the fifth beyond 20 each, and some that fill up.
        assert rank['uneven']['iter'] == 4
        check_alike(ranks[0], rank)
    (error,) = ranks[0]['poisoned']['errors']
    assert error.startswith(
        'nan or inf at rank 1, iteration 2, epoch 1: student.loss, '
    )
    assert f'images that are not finite: {40 + 3 * number + 1};' in error
    assert ' | ' not in error


def check_close(found, expected, iterations=LAST_STEP):
    assert found['iter'] == iterations
    close = dict(rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found['gradient'], expected['gradient'], **close
    )
    for name, value in expected['state'].items():
        if not name.endswith(('num_batches_tracked', 'num_updates')):
            torch.testing.assert_close(
                found['state'][name],
                value,
                **close,
                msg=lambda text, name=name: f'{name}: {text}',
            )


def check_equal(first, second):
    assert list(first) == list(second)
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[name]), name


def check_alike(first, second):
    """All but the running statistics, which are of a rank."""
    for name, run in first.items():
        states = [
            {k: v for k, v in state.items() if 'running_' not in k}
            for state in (run['state'], second[name]['state'])
        ]
        check_equal(*states)
