"""A run with nan in it, by what NonFiniteHook does about it."""

import copy
import re

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdskd.engine import NonFiniteHook
from mmdskd.engine.default_hooks import add_default_hooks

NAN = float('nan')


class Poison(Hook):
    """Put a nan into the fourth image of some iterations, 1 is the first."""

    priority = 'VERY_HIGH'

    def __init__(self, *iterations):
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 in self.iterations:
            image = data_batch['inputs'][3].float()
            image[0, 0, 0] = NAN
            data_batch['inputs'][3] = image


class Absent(Hook):
    """Train some iterations without their batch, 1 is the first."""

    priority = 'VERY_HIGH'

    def __init__(self, *iterations):
        self.iterations = iterations

    def before_train(self, runner):
        self.train_step = runner.model.train_step
        self.averages = next(h for h in runner.hooks if type(h) is EMA)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        absent = runner.iter + 1 in self.iterations
        self.averages.absent = absent
        runner.model.train_step = (
            (lambda *args, **kwargs: {}) if absent else self.train_step
        )


EMA_HOOK = HOOKS.get('EMAHook')


class EMA(EMA_HOOK):
    absent = False

    def after_train_iter(self, *args, **kwargs):
        if not self.absent:
            super().after_train_iter(*args, **kwargs)


@pytest.fixture
def train(dskd_config, build_runner):
    def run(*hooks, change=None, **kwargs):
        cfg = copy.deepcopy(dskd_config)
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint = None
        cfg.default_hooks.non_finite = dict(
            type='mmdskd.NonFiniteHook', **kwargs
        )
        cfg.param_scheduler = dict(
            type='LinearLR', by_epoch=False, end=15, start_factor=0.5
        )
        if change:
            change(cfg)
        runner = build_runner(cfg)
        runner.errors = []
        runner.logger.error = runner.errors.append
        runner.warnings = []
        runner.logger.warning = runner.warnings.append
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
        return runner

    return run


def states(runner):
    """All that a run has learnt."""
    optimizer = runner.optim_wrapper.optimizer.state_dict()['state']
    averages = [h.ema_model for h in runner.hooks if isinstance(h, EMA_HOOK)]
    return {
        **runner.model.state_dict(),
        **{
            f'optimizer.{number}.{key}': value
            for number, state in optimizer.items()
            for key, value in state.items()
        },
        **{
            f'average.{name}': value
            for average in averages
            for name, value in average.state_dict().items()
        },
    }


def check_same(first, second):
    assert list(first) == list(second)
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[name]), name


@pytest.mark.parametrize('interval', [1, 3])
def test_skip_is_as_without_the_batch(train, interval):
    def change(cfg):
        cfg.custom_hooks[0].interval = interval

    def average():
        return EMA(update_buffers=True, momentum=0.3)

    # Before the first step, too.
    skipped = train(Poison(1, 8, 9), average(), change=change)
    absent = train(Absent(1, 8, 9), average(), change=change)
    check_same(states(skipped), states(absent))
    for key in ('loss', 'distill.loss_dskd', 'dskd.feat_1', 'lr'):
        histories = [
            run.message_hub.get_scalar(f'train/{key}').data[0].tolist()
            for run in (skipped, absent)
        ]
        assert histories[0] == histories[1], key
    loss = skipped.model.distiller.distill_losses.loss_dskd
    assert loss.num_nonfinite == 0
    assert (skipped.iter, len(skipped.errors)) == (15, 3)
    assert skipped.warnings[-1] == '3 steps with nan or inf were left out.'
    # And the batch does teach something.
    seen = states(train(average(), change=change))
    name = 'architecture.backbone.conv1.weight'
    name = name if name in seen else next(iter(seen))
    assert not torch.equal(seen[name], states(skipped)[name])


def test_message(train):
    runner = train(Poison(7))
    branches = '; '.join(
        f'term {term}: branch 0, 1' for term in ('logit', 'feat')
    )
    number = r'\d+'
    assert re.fullmatch(
        'nan or inf at iteration 7, epoch 2: student.loss, distill.loss_kd, '
        + re.escape(f'loss_dskd ({branches}); ')
        + f'images that are not finite: ({number}); samples of the batch: '
        f'{number}, {number}, {number}, \\1(, {number}){{16}}. '
        + re.escape('The step is left out: all is as before the batch.'),
        runner.errors[0],
    )


def test_one_branch_of_one_term(train):
    """A head whose output overflows once."""

    class Overflow(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            head = runner.model.distiller.connectors.heads.heads[1]
            if runner.iter == 4:
                self.handle = head.register_forward_hook(
                    lambda module, args, output: output._replace(
                        feat=output.feat * float('inf')
                    )
                )

        def after_train_iter(self, runner, batch_idx, **kwargs):
            if runner.iter == 4:
                self.handle.remove()

    runner = train(Overflow())
    assert (
        'iteration 5, epoch 1: loss_dskd (term feat: branch 1); samples'
        in runner.errors[0]
    )
    assert len(runner.errors) == 1


def test_stop(train):
    class Keep(Hook):
        priority = 'HIGHEST'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.runner = runner
            if runner.iter == 6:
                self.states = {k: v.clone() for k, v in _tensors(runner)}

    keep = Keep()
    with pytest.raises(FloatingPointError) as raised:
        train(keep, Poison(7), action='stop')
    assert 'iteration 7, epoch 2: student.loss' in str(raised.value)
    assert str(raised.value).endswith(
        'Training stops; all is as before the batch.'
    )
    assert keep.runner.iter == 6
    now = dict(_tensors(keep.runner))
    now.pop('distiller.distill_losses.loss_dskd.ramp')
    for name, value in now.items():
        assert torch.equal(value, keep.states[name]), name


def _tensors(runner):
    return [(k, v) for k, v in states(runner).items() if torch.is_tensor(v)]


def test_continue(train):
    runner = train(Poison(7), action='continue', max_in_a_row=3)
    assert runner.model.architecture.head.fc.weight.isnan().all()
    assert runner.iter == 15
    # It does not fill the log: 7, 8, 9.
    assert len(runner.errors) == 3
    assert 'iteration 7, epoch 2' in runner.errors[0]
    assert 'The model holds nan or inf in' in runner.errors[0]
    assert 'iteration 8, epoch 2' in runner.errors[1]
    assert 'images that are not finite' not in runner.errors[1]
    assert runner.warnings[-1] == '9 steps with nan or inf were done.'


def test_too_many_in_a_row(train):
    runner = train(Poison(2, 3, 5, 6, 8), max_in_a_row=3)
    assert len(runner.errors) == 5
    with pytest.raises(FloatingPointError) as raised:
        train(Poison(2, 4, 5, 6), max_in_a_row=3)
    assert 'iteration 6, epoch 2' in str(raised.value)
    assert str(raised.value).endswith(
        'Training stops: 3 steps in a row (max_in_a_row) were left out. Look '
        'at the data, the learning rate and the losses: the next batch will '
        'not help.'
    )


class Overflow(Hook):
    """Such as a step with a learning rate that is far too large."""

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if runner.iter + 1 == 3:
            torch.nn.init.constant_(
                runner.model.architecture.head.fc.weight, float('inf')
            )


def test_step_that_broke_the_weights(train):
    """Its loss and gradients were finite: the next batch finds it."""
    with pytest.raises(FloatingPointError) as raised:
        train(Overflow())
    assert str(raised.value).startswith(
        'nan or inf at iteration 4, epoch 1: student.loss, '
    )
    assert str(raised.value).endswith(
        '. The model holds nan or inf in 1 tensors, so its results mean '
        'nothing: architecture.head.fc.weight. Resume from an earlier '
        'checkpoint, with a lower learning rate or other data.'
    )


def test_accumulated_step_is_left_out(train):
    def change(cfg):
        cfg.optim_wrapper.accumulative_counts = 3

    runner = train(Poison(4, 5, 11), change=change)
    # Iterations 4, 5, 6 and 10, 11, 12.
    assert len(runner.errors) == 2
    assert 'iteration 4, epoch 1' in runner.errors[0]
    assert ' | iteration 5, epoch 1' in runner.errors[0]
    assert 'iteration 11, epoch 3' in runner.errors[1]
    assert not any(v.isnan().any() for _, v in _tensors(runner))
    batches = runner.model.architecture.backbone.layer1
    assert {
        int(value)
        for name, value in batches.state_dict().items()
        if name.endswith('num_batches_tracked')
    } == {9}


def test_weights_that_are_nan_already(train, tmp_path):
    runner = train()
    state = runner.model.state_dict()
    state['architecture.head.fc.bias'][2] = NAN
    torch.save(dict(state_dict=state), tmp_path / 'broken.pth')

    def change(cfg):
        cfg.load_from = str(tmp_path / 'broken.pth')

    with pytest.raises(ValueError) as raised:
        train(change=change)
    assert (
        'The model holds nan or inf in 1 tensors, so its results mean '
        'nothing: architecture.head.fc.bias.' in str(raised.value)
    )


def test_broken_model_is_never_the_best(dskd_config, build_runner):
    """At chance level it would be better than nothing."""
    dskd_config.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=1, save_best='accuracy/top1'
    )
    dskd_config.default_hooks.non_finite = dict(
        type='mmdskd.NonFiniteHook', action='continue'
    )
    runner = build_runner(dskd_config)
    errors = []
    runner.logger.error = errors.append
    runner.register_hook(Poison(1))
    runner.train()
    scores = runner.message_hub.get_scalar('val/accuracy/top1').data[0]
    assert len(scores) == 3
    assert all(score != score for score in scores)
    assert 'best_ckpt' not in runner.message_hub.runtime_info


def test_values():
    assert NonFiniteHook().action == 'skip'
    with pytest.raises(ValueError) as raised:
        NonFiniteHook('raise')
    assert str(raised.value) == (
        "action of NonFiniteHook should be one of ('skip', 'stop', "
        "'continue'), but got 'raise'"
    )
    for value in (0, 1.5, True, '3'):
        with pytest.raises(ValueError) as raised:
            NonFiniteHook(max_in_a_row=value)
        assert str(raised.value) == (
            'max_in_a_row of NonFiniteHook should be a whole number >= 1, '
            f'but got {value!r}'
        )


def test_it_is_a_default_hook(kd_config):
    add_default_hooks(kd_config)
    assert kd_config.default_hooks.non_finite == dict(
        type='mmdskd.NonFiniteHook'
    )
    kd_config.default_hooks.non_finite = None
    add_default_hooks(kd_config)
    assert 'non_finite' not in kd_config.default_hooks
