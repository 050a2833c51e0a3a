"""Whole runs of a config of ours: resumed, and on two processes."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmdskd.utils import load_checkpoint_file

CONFIG = (
    Path(__file__).parents[3]
    / 'configs/vanilla/digits/resnet8-thin_1xb64_digits.py'
)


class Spy(Hook):
    """Keeps the batches as the model sees them."""

    def before_train(self, runner):
        self.batches = []
        runner.model.data_preprocessor.register_forward_hook(
            lambda module, args, data: self.batches.append(data['inputs'])
        )


@pytest.fixture
def train(tmp_path, build_runner):

    def run(name, epochs, ema=False, **kwargs):
        cfg = Config.fromfile(CONFIG)
        cfg.train_dataloader.num_batch_per_epoch = 3
        cfg.train_cfg = dict(by_epoch=True, max_epochs=epochs)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
        cfg.custom_hooks = [dict(type='EMAHook')] if ema else []
        cfg.work_dir = str(tmp_path / name)
        cfg.update(kwargs)
        runner = build_runner(cfg)
        spy = Spy()
        runner.register_hook(spy)
        runner.train()
        return torch.cat(spy.batches)

    return run


@pytest.mark.parametrize('ema', [False, True])
@pytest.mark.parametrize('seed', [0, None])
def test_resumed_run_goes_on_with_the_same_draws(train, tmp_path, seed, ema):
    randomness = dict(seed=seed)
    whole = train('run', 3, ema, randomness=randomness)
    assert whole.shape == (9 * 64, 1, 16, 16)
    rest = train(
        'resumed',
        3,
        ema,
        randomness=randomness,
        load_from=str(tmp_path / 'run/epoch_1.pth'),
        resume=True,
    )
    states = [
        load_checkpoint_file(str(tmp_path / name / 'epoch_3.pth'))
        for name in ('run', 'resumed')
    ]
    key = 'data_preprocessor.augments._extra_state'
    part = 'ema_state_dict' if ema else 'state_dict'
    first, second = (
        state[part]['module.' * ema + key].tolist() for state in states
    )
    assert first == second and first[1] == 9
    if seed is not None:  # else MMEngine shuffles anew
        assert torch.equal(rest, whole[3 * 64 :])


@pytest.mark.parametrize('seed', [1, 2])
def test_run_from_loaded_weights_draws_its_own(train, tmp_path, seed):
    train('base', 1)
    randomness = dict(seed=seed)
    expected = train('run', 1, randomness=randomness)
    found = train(
        'loaded',
        1,
        randomness=randomness,
        load_from=str(tmp_path / 'base/epoch_1.pth'),
    )
    assert torch.equal(found, expected)


RANK = """
import sys
import mmdskd
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmdskd.cli import distribute_on_cpu

seen, inputs, states = [], [], []

@HOOKS.register_module()
class Spy(Hook):
    def before_train(self, runner):
        def keep(module, args, data):
            inputs.append(data['inputs'])
            seen.append([s.sample_idx for s in data['data_samples']])
        runner.model.module.data_preprocessor.register_forward_hook(keep)

torch.set_num_threads(1)
cfg = Config.fromfile(sys.argv[1])
cfg.launcher = 'pytorch'
distribute_on_cpu(cfg)
runner = Runner.from_cfg(cfg)
runner.train()
state = runner.model.module.data_preprocessor.augments.get_extra_state()
torch.save(dict(seen=seen, inputs=inputs, state=state),
           f'{sys.argv[2]}/rank{runner.rank}.pth')
"""


def test_two_processes(run_two_ranks, tmp_path):
    """Each has its own half of the data and its own draws, but the seed that
    is saved is the same, although PyTorch's is not."""
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.dataset.indices = 256
    cfg.train_cfg = dict(by_epoch=True, max_epochs=2)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks = [dict(type='Spy')]
    cfg.randomness = dict(seed=5, diff_rank_seed=True)
    cfg.work_dir = str(tmp_path / 'run')
    first, second = run_two_ranks(cfg, RANK)
    for epoch in (slice(0, 2), slice(2, 4)):
        indices = chain(*first['seen'][epoch], *second['seen'][epoch])
        assert sorted(indices) == list(range(256))
    assert len(first['seen']) == len(second['seen']) == 4
    assert first['state'].tolist() == second['state'].tolist() == [5, 4]
    offsets = []
    for rank in (first, second):
        # An image that both have seen, in the one epoch or the other
        offsets.append(
            dict(zip(chain(*rank['seen']), torch.cat(rank['inputs'])))
        )
    common = sorted(offsets[0].keys() & offsets[1].keys())
    assert len(common) > 50
    same = sum(
        torch.equal(offsets[0][index], offsets[1][index]) for index in common
    )
    assert same < len(common) / 3  # 9 places
