"""The factor on the whole loss, as the hook writes it in training."""

import copy
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdskd.engine import LossWeightSchedulerHook
from mmdskd.engine.loss_ramps import LossRamps
from mmdskd.models import DSKDLoss, LossSchedule
from mmdskd.utils.checkpoint import load_checkpoint_file

from .test_hooks.hand_driven import EPOCH, drive, make_model, make_runner

ITERATIONS = 4 * EPOCH


def schedule(cfg, iterations=ITERATIONS, start=0, **kwargs):
    """Factors of a training by hand that begins at an iteration."""
    hook = LossWeightSchedulerHook(**kwargs)
    model = make_model()
    model['loss_dskd'].schedule = type(model['loss_dskd'].schedule).build(cfg)
    runner = make_runner(model, hook)
    runner.max_iters = iterations
    runner.iter, runner.epoch = start, start // EPOCH
    _, ramp = drive(runner, *[(1.0, 3.0)] * (iterations - start))
    return ramp, runner.message_hub.log_scalars


def test_follows_the_fraction_of_the_run():
    ramp, log = schedule('linear')
    assert ramp == pytest.approx([1 - i / 12 for i in range(12)])
    assert log['train/dskd.ramp'].current() == pytest.approx(1 / 12)
    longer, _ = schedule('linear', iterations=2 * ITERATIONS)
    assert longer[::2] == pytest.approx(ramp)


@pytest.mark.parametrize('start', [3, 6, 9])
def test_a_resumed_run_goes_on_where_it_was(start):
    cfg = dict(type='cosine', floor=0.1, end=0.8, stop=0.9)
    whole, _ = schedule(cfg)
    assert schedule(cfg, start=start)[0] == whole[start:]


def test_multiplies_the_warmup():
    ramp, _ = schedule('linear', loss_warmup=3)
    warmup = [0, 1 / 3, 2 / 3] + [1] * 9
    assert ramp == pytest.approx(
        [w * (1 - i / 12) for i, w in enumerate(warmup)]
    )
    ramp, _ = schedule(dict(stop=0.5), loss_warmup=1, by_epoch=True)
    assert ramp == [0, 0, 0, 1, 1, 1] + [0] * 6


def test_constant_is_not_logged():
    ramp, log = schedule('constant')
    assert ramp == [1] * 12 and 'train/dskd.ramp' not in log


@pytest.mark.parametrize('by_epoch', [False, True])
def test_a_schedule_that_leaves_nothing_is_refused(by_epoch):
    message = 'loss_dskd should act .* loss_warmup=5 .* 0 in all 12 iterations'
    with pytest.raises(ValueError, match=message):
        schedule(
            dict(stop=1e-9 if not by_epoch else 0.25),
            loss_warmup=5,
            by_epoch=by_epoch,
        )


@pytest.mark.parametrize('by_epoch, length', [(False, 2 * EPOCH), (True, 2)])
def test_a_warmup_beyond_the_end_is_told(by_epoch, length):
    warnings = []
    runner = SimpleNamespace(
        max_iters=2 * EPOCH,
        max_epochs=2,
        train_dataloader=range(EPOCH),
        logger=SimpleNamespace(warning=warnings.append),
    )
    losses = dict(loss_dskd=DSKDLoss(1, logit_loss=dict(type='KLDivergence')))
    LossRamps(losses, length, by_epoch).check(runner)
    assert not warnings
    LossRamps(losses, 4 * length, by_epoch).check(runner)
    assert warnings == [
        f'loss_warmup={4 * length} of LossWeightSchedulerHook should end in '
        f'the training, of {length}: the losses reach 0.25 of their weight '
        'only.'
    ]


def test_stays_as_at_the_end_beyond_it():
    """As for a benchmark that runs more steps than the training has."""
    hook = LossWeightSchedulerHook()
    model = make_model()
    model['loss_dskd'].schedule = LossSchedule('linear', floor=0.25)
    runner = make_runner(model, hook)
    runner.max_iters = 2
    _, ramp = drive(runner, *[(1.0, 3.0)] * 4)
    assert ramp == [1, 0.625, 0.25, 0.25]


def test_is_written_only_where_it_changes(monkeypatch):
    written = []
    set_progress = DSKDLoss.set_progress

    def note(self, progress, warmup):
        set_progress(self, progress, warmup)
        written.append(self.ramp.item())

    monkeypatch.setattr(DSKDLoss, 'set_progress', note)
    schedule(dict(stop=0.5), loss_warmup=2)
    assert written == [0, 0.5, 1, 0]
    written.clear()
    schedule('constant')
    assert written == []


@HOOKS.register_module(force=True)
class RampSpy(Hook):
    """Writes down the factor of each iteration."""

    priority = 'LOWEST'
    ramp: list = []

    def after_train_iter(self, runner, *args, **kwargs):
        loss = runner.model.distiller.distill_losses['loss_dskd']
        RampSpy.ramp.append(loss.ramp.item())


@pytest.fixture
def train(dskd_config, build_runner):
    def run(epochs=2, by_iterations=False, resume=None, with_hook=True):
        cfg = copy.deepcopy(dskd_config)
        if not with_hook:
            cfg.custom_hooks = []
        cfg.model.distiller.distill_losses.loss_dskd.schedule = 'linear'
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.custom_hooks.append(dict(type='RampSpy'))
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
        if by_iterations:
            cfg.train_cfg = dict(by_epoch=False, max_iters=4)
            cfg.param_scheduler = None
        else:
            cfg.train_cfg.max_epochs = epochs
        if resume:
            cfg.load_from, cfg.resume = resume, True
        runner = build_runner(cfg)
        RampSpy.ramp = []
        runner.train()
        return RampSpy.ramp, runner

    return run


def test_in_a_run(train):
    ramp, runner = train()
    number = len(ramp)
    assert ramp == pytest.approx([1 - i / number for i in range(number)])

    # Resumed after the first of two epochs, and of four.
    first = f'{runner.work_dir}/epoch_1.pth'
    state = load_checkpoint_file(first)['state_dict']
    key = 'distiller.distill_losses.loss_dskd.ramp'
    assert state[key] == pytest.approx(ramp[number // 2 - 1])
    assert train(resume=first)[0] == ramp[number // 2 :]
    longer, _ = train(epochs=4, resume=first)
    assert longer == pytest.approx(
        [1 - i / (2 * number) for i in range(number // 2, 2 * number)]
    )


def test_in_a_run_by_iterations(train):
    assert train(by_iterations=True)[0] == [1, 0.75, 0.5, 0.25]


def test_a_run_without_the_hook_ends_at_once(train):
    with pytest.raises(RuntimeError, match='add mmdskd.LossWeightScheduler'):
        train(with_hook=False)
    assert RampSpy.ramp == []
