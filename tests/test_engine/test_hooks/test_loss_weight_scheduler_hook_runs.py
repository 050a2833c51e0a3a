"""The hook in trainings of a tiny network."""

import copy
import functools
import json
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch.utils._python_dispatch import TorchDispatchMode

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.models import BranchWeights, DSKDLoss, ProportionalStrategy

TERMS = ('logit', 'feat')


@ROOT_HOOKS.register_module(force=True)
class Spy(Hook):
    """Writes down what the losses and weights are after each iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses = []
        self.weights = []
        self.ramp = []
        self.head_calls = 0
        self.iterations = 0

    def before_train(self, runner):
        algorithm = runner.model
        self.loss = algorithm.distiller.distill_losses['loss_dskd']
        for head in algorithm.distiller.connectors['heads'].heads:
            head.register_forward_hook(self._count)

    def _count(self, *args):
        self.head_calls += 1

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.iterations += 1
        self.losses.append(
            {t: v.clone() for t, v in self.loss.last_losses.items()}
        )
        self.weights.append(
            {t: w.weights.clone() for t, w in self.loss.allocation.items()}
        )
        self.ramp.append(self.loss.ramp.item())


def shorten(cfg, epochs=1, **hook):
    """Train and do nothing else, with the arguments of the hook."""
    cfg.train_cfg.max_epochs = epochs
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks[0].update(hook)
    cfg.custom_hooks.append(dict(type='Spy'))
    return cfg


def train_by(build_runner, cfg):
    """Train; return the runner and its spy."""
    runner = build_runner(cfg)
    runner.train()
    return runner, next(h for h in runner.hooks if isinstance(h, Spy))


@pytest.fixture
def train(dskd_config, build_runner):
    """Train an epoch with a hook of the given arguments."""

    def run(epochs=1, **hook):
        cfg = shorten(copy.deepcopy(dskd_config), epochs, **hook)
        return train_by(build_runner, cfg)

    return run


@pytest.fixture(scope='module')
def trained(make_dskd_config, build_runner, tmp_path_factory):
    """A run of two epochs that several tests look at."""
    cfg = make_dskd_config(tmp_path_factory.mktemp('trained'))
    shorten(cfg, epochs=2, strategy='proportional', ema_decay=0.5)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=2)
    cfg.visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    return train_by(build_runner, cfg)


def dskd_loss(runner):
    return runner.model.distiller.distill_losses['loss_dskd']


def test_weights_follow_the_losses(trained):
    _, spy = trained
    assert len(spy.losses) == 10
    ema = spy.losses[0]
    for losses, weights in zip(spy.losses, spy.weights):
        ema = {t: 0.5 * ema[t] + 0.5 * losses[t] for t in TERMS}
        for term in TERMS:
            torch.testing.assert_close(
                weights[term], ProportionalStrategy()(ema[term], ema[term])
            )
    assert not torch.equal(spy.weights[-1]['logit'], torch.ones(2))


def test_each_head_runs_once_per_iteration(trained):
    _, spy = trained
    assert spy.iterations == 10 and spy.head_calls == 2 * 10


def test_weights_scale_the_loss(trained):
    """The logged DSKD loss is the sum of the weighted branch losses."""
    runner, spy = trained
    before, losses = spy.weights[-2], spy.losses[-1]
    expected = sum((before[t] * losses[t]).sum() for t in TERMS)
    logged = runner.message_hub.get_scalar('train/distill.loss_dskd')
    assert logged.current() == pytest.approx(expected.item(), rel=1e-5)


def test_logs_losses_and_weights_to_every_backend(trained):
    runner, spy = trained
    scalars = Path(runner.log_dir) / 'vis_data' / 'scalars.json'
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    rows = [row for row in rows if 'dskd.logit_0' in row]
    assert [row['step'] for row in rows[:3]] == [2, 4, 7]
    for term in TERMS:
        for i in range(2):
            mean = (spy.losses[2][term][i] + spy.losses[3][term][i]) / 2
            assert rows[1][f'dskd.{term}_{i}'] == pytest.approx(mean.item())
            assert rows[1][f'dskd.weight_{term}_{i}'] == pytest.approx(
                spy.weights[3][term][i].item()
            )


def recorded_tensors(model):
    """Tensors that any recorder in the model holds, however it is kept."""
    recorders = [
        recorder
        for module in model.modules()
        for value in vars(module).values()
        if hasattr(value, 'recorders')
        for recorder in value.recorders.values()
    ]
    assert len(recorders) == 5
    assert all(isinstance(recorder, BaseRecorder) for recorder in recorders)
    return [
        r for r in recorders if r.data_buffer or getattr(r, '_outputs', None)
    ]


def test_recorders_hold_nothing_after_an_iteration(trained):
    runner, _ = trained
    algorithm = runner.model
    assert recorded_tensors(algorithm) == []
    # ... and so the model copies and pickles, and the copy still distils.
    batch = next(iter(runner.train_dataloader))
    for twin in (
        copy.deepcopy(algorithm),
        pickle.loads(pickle.dumps(algorithm)),
    ):
        data = twin.data_preprocessor(batch, True)
        losses = twin(**data, mode='loss')
        assert losses['distill.loss_dskd'].isfinite()
        assert len(recorded_tensors(twin)) == 5
    assert recorded_tensors(algorithm) == []


def test_weights_go_on_after_kill_and_resume(
    dskd_config, build_runner, tmp_path
):

    def run(work_dir, epochs, resume=False):
        cfg = shorten(copy.deepcopy(dskd_config), epochs)
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.custom_hooks[0].interval = 4  # not a divisor of the epoch
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook')
        cfg.resume = resume
        return dskd_loss(train_by(build_runner, cfg)[0]).state_dict()

    whole = run('whole', epochs=2)
    run('cut', epochs=1)
    resumed = run('cut', epochs=2, resume=True)
    assert list(resumed) == list(whole)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, msg=name)
    assert resumed['allocation.logit.num_updates'] == 2
    assert resumed['allocation.logit.pending'][-2] == 2

    # A fresh run from the same weights remembers nothing of them.
    cfg = shorten(copy.deepcopy(dskd_config), begin=4)
    cfg.load_from = str(tmp_path / 'cut' / 'epoch_2.pth')
    runner, _ = train_by(build_runner, cfg)
    fresh = dskd_loss(runner).allocation['logit']
    assert fresh.num_updates == 1
    assert torch.equal(fresh.previous, fresh.ema)


def test_non_finite_loss_leaves_the_weights_and_warns_once(
    train, monkeypatch, caplog
):
    to_row = BranchWeights.to_row
    calls = []

    def poisoned(self, losses):
        calls.append(losses)
        factor = float('nan') if len(calls) > 4 else 1.0
        return to_row(self, losses * factor)

    monkeypatch.setattr(BranchWeights, 'to_row', poisoned)
    caplog.set_level('WARNING')
    runner, spy = train(ema_decay=0)
    for weights in spy.weights[2:]:
        assert torch.equal(weights['logit'], spy.weights[1]['logit'])
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    message = 'inf or nan in the losses of loss_dskd.logit, loss_dskd.feat: '
    assert log.count(f'{message}such iterations leave the branch weights') == 1
    assert dskd_loss(runner).allocation['logit'].num_nonfinite == 3


class Fetched(TorchDispatchMode):
    """Writes down what would make the host wait for the device."""

    waiting = (
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.is_nonzero.default,
    )

    def __init__(self):
        super().__init__()
        self.functions = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in self.waiting:
            self.functions.append(func)
        return func(*args, **(kwargs or {}))


def test_no_synchronisation_without_a_log(train, dskd_config, monkeypatch):
    """Nothing is fetched from the device but at the end of an epoch, where
    it is logged."""
    dskd_config.default_hooks.logger = dict(type='LoggerHook', interval=100)
    fetched = []

    def watch(owner, name, place):
        original = getattr(owner, name)

        @functools.wraps(original)
        def call(self, *args, **kwargs):
            with Fetched() as mode:
                result = original(self, *args, **kwargs)
            if mode.functions:
                fetched.append(place(*args, **kwargs))
            return result

        monkeypatch.setattr(owner, name, call)

    def iteration(runner, batch_idx, *args, **kwargs):
        return batch_idx

    watch(LossWeightSchedulerHook, 'before_train_iter', iteration)
    watch(LossWeightSchedulerHook, 'after_train_iter', iteration)
    watch(DSKDLoss, 'forward', lambda *args, **kwargs: 'forward')
    log = LossWeightSchedulerHook._log
    logged = []

    def silent_log(self, runner):
        logged.append(runner.iter)

    monkeypatch.setattr(LossWeightSchedulerHook, '_log', silent_log)
    train(weight_warmup=3, loss_warmup=4)
    assert fetched == [] and logged == [4]

    # The watch sees what a log fetches, if it is not left out.
    monkeypatch.setattr(
        LossWeightSchedulerHook,
        '_log',
        lambda self, runner: [
            log(self, runner),
            next(iter(self._losses.values())).ramp.item(),
        ],
    )
    train()
    assert fetched == [4]


def test_stopped_distillation_changes_nothing_more(train, dskd_config):
    dskd_config.custom_hooks.append(
        dict(type='mmrazor.StopDistillHook', stop_epoch=1)
    )
    _, spy = train(epochs=2, ema_decay=0)
    for weights in spy.weights[5:]:
        assert torch.equal(weights['logit'], spy.weights[4]['logit'])
    assert not torch.equal(spy.weights[3]['logit'], spy.weights[4]['logit'])
