import math

import pytest
import torch

from mmdskd.models import (
    BaseLossWeightStrategy,
    DWAStrategy,
    InverseStrategy,
    ProportionalStrategy,
    SoftmaxStrategy,
    UniformStrategy,
)
from mmdskd.models.task_modules.loss_weight_strategies.build import (
    build_strategies,
)
from mmdskd.registry import TASK_UTILS

LOSSES = torch.tensor([1.0, 3.0])


def weights(strategy, losses=LOSSES, previous=LOSSES):
    return strategy(losses, previous).tolist()


def two(first, second):
    """Scale two numbers to an average of 1."""
    return pytest.approx(
        [2 * first / (first + second), 2 * second / (first + second)], rel=1e-6
    )


def test_softmax():
    # mean 2: exp(0.5) to exp(1.5)
    assert weights(SoftmaxStrategy()) == two(1, math.e)
    assert weights(SoftmaxStrategy(temperature=0.5)) == two(1, math.e**2)
    assert weights(SoftmaxStrategy(normalize=False)) == two(1, math.e**2)
    # The scale of the loss does not matter, unless asked to.
    assert weights(SoftmaxStrategy(), LOSSES / 100) == two(1, math.e)
    assert weights(SoftmaxStrategy(normalize=False), LOSSES / 100) == two(
        1, math.exp(0.02)
    )


def test_proportional():
    assert weights(ProportionalStrategy()) == two(1, 3)
    assert weights(ProportionalStrategy(), torch.tensor([-1.0, 3.0])) == [0, 2]


def test_inverse():
    assert weights(InverseStrategy()) == two(3, 1)


def test_uniform():
    assert weights(UniformStrategy()) == [1, 1]


def test_dwa():
    # ratios 1/2 and 3/4
    previous = torch.tensor([2.0, 4.0])
    assert weights(DWAStrategy(), previous=previous) == two(
        math.exp(0.25), math.exp(0.375)
    )
    assert weights(DWAStrategy(temperature=0.5), previous=previous) == two(
        math.exp(1), math.exp(1.5)
    )
    assert weights(DWAStrategy()) == [1, 1]


STRATEGIES = [
    SoftmaxStrategy(),
    ProportionalStrategy(),
    InverseStrategy(),
    UniformStrategy(),
    DWAStrategy(),
]


@pytest.mark.parametrize('strategy', STRATEGIES)
@pytest.mark.parametrize(
    'losses',
    [[0.0, 0.0, 0.0], [1e-12, 1.0, 1e6], [2.0, 2.0, 2.0], [0.0, 0.0, 5.0]],
)
def test_weights_average_to_one(strategy, losses):
    losses = torch.tensor(losses)
    result = strategy(losses, losses.flip(0))
    assert result.mean().item() == pytest.approx(1, abs=1e-5)
    assert (result >= 0).all()


@pytest.mark.parametrize('strategy', STRATEGIES)
def test_equal_losses_have_equal_weights(strategy):
    assert weights(strategy, torch.zeros(2)) == [1, 1]
    assert weights(strategy, torch.full((2,), 7.0), torch.full((2,), 3.0)) == [
        1,
        1,
    ]


@pytest.mark.parametrize('strategy', [SoftmaxStrategy, DWAStrategy])
@pytest.mark.parametrize('temperature', [0, -1, float('nan'), '2'])
def test_temperature_must_be_positive(strategy, temperature):
    with pytest.raises(
        ValueError,
        match=f'temperature should be a number > 0, but got {temperature!r}',
    ):
        strategy(temperature=temperature)


def test_all_are_registered_by_name():
    for name, strategy in dict(
        softmax=SoftmaxStrategy,
        proportional=ProportionalStrategy,
        inverse=InverseStrategy,
        uniform=UniformStrategy,
        dwa=DWAStrategy,
    ).items():
        assert TASK_UTILS.get(name) is strategy
        assert issubclass(strategy, BaseLossWeightStrategy)


@pytest.mark.parametrize(
    'cfg, error, message',
    [
        (
            'sofmax',
            KeyError,
            "'sofmax' is not a weighting strategy: choose one of .*dwa, "
            'inverse, proportional, softmax.*uniform',
        ),
        (dict(logits='softmax'), KeyError, r"keys \['logits'\]"),
        (
            dict(type='softmax', temperature=0),
            ValueError,
            'temperature should be a number > 0',
        ),
        (
            'MultiModuleOutputsRecorder',
            KeyError,
            "'MultiModuleOutputsRecorder' is not a weighting strategy",
        ),
        (dict(type=UniformStrategy, scale=2), TypeError, 'takes no arguments'),
        (
            dict(type=dict),
            TypeError,
            'strategy should be a BaseLossWeightStrategy',
        ),
        (
            UniformStrategy,
            TypeError,
            'a name, a config or a BaseLossWeightStrategy, but got <class',
        ),
        (None, TypeError, 'but got None'),
    ],
)
def test_what_is_no_strategy(cfg, error, message):
    with pytest.raises(error, match=message):
        build_strategies(cfg)


def test_strategies_may_be_objects():
    mine = UniformStrategy()
    strategies = build_strategies(mine)
    assert set(strategies) == {'logit', 'feat', 'label'}
    assert all(strategy is mine for strategy in strategies.values())
    strategies = build_strategies(dict(logit='dwa', feat=mine))
    assert isinstance(strategies['logit'], DWAStrategy)
    assert strategies['feat'] is mine
    assert isinstance(strategies['label'], UniformStrategy)
