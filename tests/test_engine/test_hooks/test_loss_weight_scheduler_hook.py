import copy
import functools
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODEL_WRAPPERS
from mmrazor.engine import StopDistillHook
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.engine.distillation_parts import log_prefix
from mmdskd.models import (
    BaseLossWeightStrategy,
    BranchWeights,
    DSKDLoss,
    ProportionalStrategy,
    SoftmaxStrategy,
    UniformStrategy,
)
from mmdskd.registry import TASK_UTILS

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


@pytest.fixture
def train(dskd_config, build_runner):
    """Train with a hook of the given arguments; return the runner and spy."""

    def run(**kwargs):
        cfg = copy.deepcopy(dskd_config)
        cfg.custom_hooks[0].update(kwargs)
        cfg.custom_hooks.append(dict(type='Spy'))
        runner = build_runner(cfg)
        runner.train()
        return runner, next(h for h in runner.hooks if isinstance(h, Spy))

    return run


def dskd_loss(runner):
    return runner.model.distiller.distill_losses['loss_dskd']


def test_weights_follow_the_losses(train):
    _, spy = train(strategy='softmax', ema_decay=0.5)
    assert len(spy.losses) == 15
    strategy = SoftmaxStrategy()
    ema = None
    for losses, weights in zip(spy.losses, spy.weights):
        ema = (
            losses
            if ema is None
            else {t: 0.5 * ema[t] + 0.5 * losses[t] for t in TERMS}
        )
        for term in TERMS:
            torch.testing.assert_close(
                weights[term], strategy(ema[term], ema[term])
            )
    assert not torch.equal(spy.weights[-1]['logit'], torch.ones(2))


def test_each_head_runs_once_per_iteration(train):
    _, spy = train()
    assert spy.iterations == 15 and spy.head_calls == 2 * 15


def test_interval_takes_the_mean_since_the_last_update(train):
    _, spy = train(strategy='proportional', ema_decay=0, interval=4)
    for weights in spy.weights[:3]:
        assert weights['logit'].tolist() == [1, 1]
    mean = torch.stack([row['logit'] for row in spy.losses[4:8]]).mean(0)
    expected = ProportionalStrategy()(mean, mean)
    for weights in spy.weights[7:11]:
        torch.testing.assert_close(weights['logit'], expected)


def test_by_epoch(train):
    _, spy = train(strategy='proportional', ema_decay=0, by_epoch=True)
    for weights in spy.weights[:5]:
        assert weights['feat'].tolist() == [1, 1]
    mean = torch.stack([row['feat'] for row in spy.losses[:5]]).mean(0)
    for weights in spy.weights[5:10]:
        torch.testing.assert_close(
            weights['feat'], ProportionalStrategy()(mean, mean)
        )


def test_begin_end_and_warmup(train):
    _, spy = train(
        strategy='proportional', ema_decay=0, begin=4, end=12, warmup=4
    )
    for weights in spy.weights[:4]:
        assert weights['logit'].tolist() == [1, 1]
    for i, strength in ((4, 0.25), (5, 0.5), (7, 1), (8, 1), (11, 1)):
        losses = spy.losses[i]['logit']
        full = ProportionalStrategy()(losses, losses)
        torch.testing.assert_close(
            spy.weights[i]['logit'], 1 + strength * (full - 1)
        )
    for weights in spy.weights[12:]:
        torch.testing.assert_close(weights['logit'], spy.weights[11]['logit'])


def test_ramp_of_the_whole_loss(train):
    _, spy = train(ramp=4)
    assert spy.ramp[:6] == [0, 0.25, 0.5, 0.75, 1, 1]
    _, spy = train(ramp=2, by_epoch=True)
    assert spy.ramp == [0] * 5 + [0.5] * 5 + [1] * 5


def test_strategy_per_term(train):
    _, spy = train(
        strategy=dict(logit=dict(type='softmax', temperature=0.1)), ema_decay=0
    )
    losses = spy.losses[-1]['logit']
    torch.testing.assert_close(
        spy.weights[-1]['logit'], SoftmaxStrategy(0.1)(losses, losses)
    )
    assert spy.weights[-1]['feat'].tolist() == [1, 1]


def test_a_strategy_of_the_user(train):

    @TASK_UTILS.register_module(name='test_last_only', force=True)
    class LastOnly(BaseLossWeightStrategy):
        def allocate(self, losses, previous):
            return torch.arange(len(losses), device=losses.device).float()

    _, spy = train(strategy='test_last_only')
    assert spy.weights[0]['logit'].tolist() == [0, 2]


def test_weights_scale_the_loss(train):
    """The logged DSKD loss is the sum of the weighted branch losses."""
    runner, spy = train(strategy='proportional', ema_decay=0)
    before, losses = spy.weights[-2], spy.losses[-1]
    expected = sum((before[t] * losses[t]).sum() for t in TERMS)
    logged = runner.message_hub.get_scalar('train/distill.loss_dskd')
    assert logged.current() == pytest.approx(expected.item(), rel=1e-5)


def test_logs_losses_and_weights_to_every_backend(train, dskd_config):
    dskd_config.default_hooks.logger = dict(type='LoggerHook', interval=2)
    dskd_config.visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    runner, spy = train()
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


@pytest.mark.parametrize(
    'name, prefix',
    [
        ('loss_dskd', 'dskd'),
        ('dskd_loss', 'dskd'),
        ('loss_a', 'a'),
        ('loss', 'dskd'),
        ('a_loss_b', 'ab'),
    ],
)
def test_log_names_do_not_hold_the_word_loss(name, prefix):
    assert log_prefix(name) == prefix


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


def test_recorders_hold_nothing_after_an_iteration(train):
    runner, _ = train()
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

    def run(work_dir, **kwargs):
        cfg = copy.deepcopy(dskd_config)
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.merge_from_dict(kwargs)
        cfg.custom_hooks[0].interval = 4  # not a divisor of the epoch
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook')
        runner = build_runner(cfg)
        runner.train()
        return dskd_loss(runner).state_dict()

    whole = run('whole')
    run('cut', **{'train_cfg.max_epochs': 2})
    resumed = run('cut', resume=True)
    assert list(resumed) == list(whole)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
    assert resumed['allocation.logit.num_updates'] == 3
    assert resumed['allocation.logit.pending'][-2] == 3

    # A fresh run from the same weights starts with equal branches.
    checkpoint = str(tmp_path / 'cut' / 'epoch_3.pth')
    cfg = copy.deepcopy(dskd_config)
    cfg.merge_from_dict(
        {
            'load_from': checkpoint,
            'train_cfg.max_epochs': 1,
            'custom_hooks.0.begin': 100,
        }
    )
    runner = build_runner(cfg)
    runner.train()
    assert dskd_loss(runner).allocation['logit'].weights.tolist() == [1, 1]
    assert dskd_loss(runner).allocation['logit'].num_updates == 0


def test_non_finite_loss_leaves_the_weights_and_warns_once(
    train, monkeypatch, caplog
):
    to_row = BranchWeights.to_row
    calls = []

    def poisoned(losses):
        calls.append(losses)
        return to_row(losses * float('nan') if len(calls) > 4 else losses)

    monkeypatch.setattr(BranchWeights, 'to_row', staticmethod(poisoned))
    caplog.set_level('WARNING')
    runner, spy = train(ema_decay=0)
    for weights in spy.weights[2:]:
        assert torch.equal(weights['logit'], spy.weights[1]['logit'])
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert log.count('A DSKD loss was not finite') == 1
    assert dskd_loss(runner).allocation['logit'].num_nonfinite == 13


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
    train(warmup=3, ramp=4)
    assert fetched == [] and logged == [4, 9, 14]

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
    assert fetched == [4, 4, 4]


def test_stopped_distillation_changes_nothing_more(train, dskd_config):
    dskd_config.custom_hooks.append(
        dict(type='mmrazor.StopDistillHook', stop_epoch=1)
    )
    _, spy = train(ema_decay=0)
    for weights in spy.weights[5:]:
        assert torch.equal(weights['logit'], spy.weights[4]['logit'])
    assert not torch.equal(spy.weights[3]['logit'], spy.weights[4]['logit'])


@MODEL_WRAPPERS.register_module(name='TestWrapper')
class Wrapper(torch.nn.Module):
    def __init__(self, module, find_unused_parameters):
        super().__init__()
        self.module = module
        self.find_unused_parameters = find_unused_parameters


def test_stopping_needs_unused_parameters_to_be_found(dskd_config):
    algorithm = MODELS.build(dskd_config.model)

    def before_train(find_unused_parameters):
        LossWeightSchedulerHook().before_train(
            SimpleNamespace(
                model=Wrapper(algorithm, find_unused_parameters),
                hooks=[StopDistillHook(stop_epoch=1)],
                train_loop=None,
                iter=0,
            )
        )

    before_train(True)
    with pytest.raises(ValueError, match='find_unused_parameters = True'):
        before_train(False)


def test_a_ramp_of_another_run_does_not_stay(train, dskd_config):
    dskd_config.train_cfg.max_epochs = 1
    dskd_config.default_hooks.checkpoint = dict(type='CheckpointHook')
    _, spy = train(ramp=100)
    assert spy.ramp[-1] < 0.1
    dskd_config.train_cfg.max_epochs = 2
    dskd_config.resume = True
    _, spy = train()
    assert spy.ramp == [1] * 5


@pytest.mark.parametrize(
    'kwargs, error, message',
    [
        (
            dict(strategy='sofmax'),
            KeyError,
            "'sofmax' is not a weighting strategy: choose one of .*dwa, inverse, "
            'proportional, softmax.*uniform',
        ),
        (
            dict(strategy=dict(logits='softmax')),
            KeyError,
            r"keys \['logits'\]",
        ),
        (
            dict(strategy=dict(type='softmax', temperature=0)),
            ValueError,
            'temperature should be > 0',
        ),
        (
            dict(strategy='MultiModuleOutputsRecorder'),
            KeyError,
            "'MultiModuleOutputsRecorder' is not a weighting strategy",
        ),
        (
            dict(strategy=dict(type=UniformStrategy, scale=2)),
            TypeError,
            'takes no arguments',
        ),
        (
            dict(strategy=dict(type=dict)),
            TypeError,
            'strategy should be a BaseLossWeightStrategy',
        ),
        (
            dict(strategy=UniformStrategy),
            TypeError,
            'a name, a config or a BaseLossWeightStrategy, but got <class',
        ),
        (dict(strategy=None), TypeError, 'but got None'),
        (dict(ema_decay=1), ValueError, r'in \[0, 1\), but got 1'),
        (dict(ema_decay=-0.1), ValueError, r'in \[0, 1\), but got -0.1'),
        (
            dict(interval=0),
            ValueError,
            'interval should be .* >= 1, but got 0',
        ),
        (dict(begin=-1), ValueError, 'begin should be .* >= 0, but got -1'),
        (
            dict(begin=5, end=5),
            ValueError,
            'end should be > begin=5, but got 5',
        ),
        (dict(warmup=0.5), ValueError, 'warmup should be a whole number'),
        (dict(ramp=-2), ValueError, 'ramp should be a whole number'),
    ],
)
def test_wrong_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        LossWeightSchedulerHook(**kwargs)


def test_default_strategy_is_the_reading_of_the_paper():
    strategies = LossWeightSchedulerHook().strategies
    assert all(isinstance(s, SoftmaxStrategy) for s in strategies.values())
    strategies = LossWeightSchedulerHook(
        strategy=dict(feat='softmax')
    ).strategies
    assert isinstance(strategies['logit'], UniformStrategy)


def test_a_loss_of_another_name_is_told_with_those_there_are(train):
    with pytest.raises(
        KeyError,
        match="loss='loss_kd' is not a DSKD loss of the model: "
        'choose one of loss_dskd, or None for all',
    ):
        train(loss='loss_kd')


def test_a_model_without_dskd_is_told(kd_config, build_runner):
    kd_config.custom_hooks = [dict(type='mmdskd.LossWeightSchedulerHook')]
    with pytest.raises(KeyError, match='has no mmdskd.DSKDLoss'):
        build_runner(kd_config).train()


def test_by_epoch_needs_epochs(train, dskd_config):
    dskd_config.train_cfg = dict(by_epoch=False, max_iters=2, val_interval=9)
    with pytest.raises(ValueError, match='by_epoch=True needs training by'):
        train(by_epoch=True)


def test_strategies_may_be_objects():
    mine = UniformStrategy()
    hook = LossWeightSchedulerHook(strategy=mine)
    assert set(hook.strategies) == {'logit', 'feat', 'label'}
    assert all(strategy is mine for strategy in hook.strategies.values())
    hook = LossWeightSchedulerHook(strategy=dict(logit='dwa', feat=mine))
    assert type(hook.strategies['logit']).__name__ == 'DWAStrategy'
    assert hook.strategies['feat'] is mine
