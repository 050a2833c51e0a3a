"""Factors computed by hand, and values that are refused."""

import math

import pytest
import torch
from torch import nn

from mmdskd.models import Branch, DSKDLoss, LossSchedule

NAN = float('nan')


def near(*values):
    return [pytest.approx(value, abs=1e-12) for value in values]


def values(cfg, *progress):
    schedule = LossSchedule.build(cfg)
    return [schedule(p) for p in progress]


@pytest.mark.parametrize(
    'cfg, expected',
    [
        ('constant', [1, 1, 1, 1, 1]),
        (dict(stop=0.5), [1, 1, 0, 0, 0]),
        ('linear', [1, 0.75, 0.5, 0.25, 0]),
        (dict(type='linear', floor=0.2), [1, 0.8, 0.6, 0.4, 0.2]),
        (dict(type='linear', end=0.5), [1, 0.5, 0, 0, 0]),
        (dict(type='linear', stop=0.5), [1, 0.5, 0, 0, 0]),
        (dict(type='linear', floor=0.5, stop=0.75), [1, 5 / 6, 4 / 6, 0, 0]),
        (
            dict(type='linear', floor=0.5, end=0.25, stop=0.75),
            [1, 0.5, 0.5, 0, 0],
        ),
        (
            'cosine',
            [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0],
        ),
        (dict(type='cosine', floor=0.5, end=0.5), [1, 0.75, 0.5, 0.5, 0.5]),
        (dict(type='cosine', end=0.5, stop=1), [1, 0.5, 0, 0, 0]),
        (LossSchedule('linear'), [1, 0.75, 0.5, 0.25, 0]),
    ],
)
def test_factors(cfg, expected):
    assert values(cfg, 0, 0.25, 0.5, 0.75, 1) == near(*expected)


def test_stop_is_a_step():
    cfg = dict(type='linear', floor=0.5, end=0.4, stop=0.4)
    assert values(cfg, 0.2, 0.4 - 1e-9, 0.4) == [
        pytest.approx(0.75),
        pytest.approx(0.5, abs=1e-6),
        0,
    ]


@pytest.mark.parametrize(
    'cfg, constant',
    [
        ('constant', True),
        (dict(type='constant'), True),
        (dict(stop=1.0), False),
        ('cosine', False),
    ],
)
def test_is_constant(cfg, constant):
    assert LossSchedule.build(cfg).is_constant == constant


@pytest.mark.parametrize(
    'cfg, message',
    [
        ('step', "one of constant, linear, cosine, but got 'step'"),
        (dict(type=None), 'one of constant, linear, cosine, but got None'),
        (dict(stop=0), r'stop .* in \(0, 1\], or None, but got 0'),
        (dict(stop=1.5), r'stop .* in \(0, 1\], or None, but got 1.5'),
        (dict(stop=True), r'stop .* in \(0, 1\], or None, but got True'),
        (dict(stop=NAN), r'stop .* in \(0, 1\], or None, but got nan'),
        (
            dict(type='linear', end=0),
            r'end .* in \(0, 1\], or None, but got 0',
        ),
        (
            dict(type='linear', end='1'),
            r"end .* in \(0, 1\], or None, but got '1'",
        ),
        (
            dict(type='linear', floor=1),
            r'floor .* in \[0, 1\), or None, but got 1',
        ),
        (dict(type='cosine', floor=-0.1), r'\[0, 1\), or None, but got -0.1'),
        (dict(floor=0.5), 'constant has none, but got floor=0.5'),
        (dict(end=0.5), 'constant has none, but got end=0.5'),
        (
            dict(type='linear', end=1, stop=0.5),
            'end should be <= stop=0.5, but got 1',
        ),
        (dict(type='cosine', end=0.6, stop=0.5), 'but got 0.6'),
    ],
)
def test_values_that_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        DSKDLoss(2, feat_loss=nn.MSELoss(), schedule=cfg)


@pytest.mark.parametrize('cfg', [None, 0.5, ['linear'], dict(begin=0.1)])
def test_configs_that_are_none(cfg):
    with pytest.raises(TypeError, match='or a dict of type, floor, end, stop'):
        LossSchedule.build(cfg)


@pytest.mark.parametrize('progress', [-0.1, 1.1, NAN])
def test_progress_out_of_range(progress):
    with pytest.raises(ValueError, match=r'in \[0, 1\], but got'):
        LossSchedule('linear')(progress)


@pytest.mark.parametrize('warmup', [-0.1, 1.1, NAN])
def test_warmup_out_of_range(warmup):
    loss = feat_loss(schedule='linear')
    with pytest.raises(ValueError, match=r'warmup .* in \[0, 1\], but got'):
        loss.set_progress(0.5, warmup)
    assert loss.ramp == 1


def feat_loss(**kwargs):
    return DSKDLoss(1, feat_loss=nn.MSELoss(), **kwargs)


def call(loss):
    """Value and gradient for a feature of 2 and a target of 0."""
    feat = torch.full((1, 1, 1, 1), 2.0, requires_grad=True)
    value = loss([Branch(feat)], feat_T=torch.zeros(1, 1, 1, 1))
    value.backward()
    return value.item(), feat.grad.item()


@pytest.mark.parametrize(
    'progress, warmup, factor',
    [(0, 1, 1), (0.5, 1, 0.5), (0.5, 0.5, 0.25), (1, 1, 0), (0.2, 0, 0)],
)
def test_loss_and_gradient_are_scaled(progress, warmup, factor):
    loss = feat_loss(schedule='linear')
    loss.set_progress(progress, warmup)
    assert call(loss) == (4 * factor, 4 * factor)


def test_a_schedule_without_progress_is_refused():
    loss = feat_loss(schedule='cosine')
    with pytest.raises(
        RuntimeError, match="schedule 'cosine', .*LossWeightSchedulerHook"
    ):
        call(loss)
    assert call(loss.eval())[0] == 4
    loss.train().set_progress(0.5)
    assert call(loss)[0] == pytest.approx(2)


def test_a_constant_schedule_needs_no_progress():
    assert call(feat_loss()) == (4, 4)


def test_the_factor_is_in_checkpoints_under_its_old_name():
    loss = feat_loss(schedule='linear')
    loss.set_progress(0.25)
    other = feat_loss()
    other.load_state_dict(loss.state_dict())
    assert other.ramp == 0.75
