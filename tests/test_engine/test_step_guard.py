from types import MethodType, SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmdskd.engine import step_guard
from mmdskd.engine.step_guard import StepGuard, are_finite, move_to_host

INF, NAN = float('inf'), float('nan')


def make(leave_out=True, model=None, **kwargs):
    model = model or nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    wrapper = OptimWrapper(optimizer, **kwargs)
    guard = StepGuard(wrapper, model, leave_out)
    guard.install()
    return model, wrapper, guard


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_finite_step_is_the_same_with_the_guard():
    inputs = torch.tensor([[0.3, -0.7]])
    found = []
    for guarded in (True, False):
        torch.manual_seed(0)
        model, wrapper, guard = make(clip_grad=dict(max_norm=0.1))
        if not guarded:
            guard.remove()
            assert wrapper.step == MethodType(OptimWrapper.step, wrapper)
        for _ in range(3):
            guard.begin()
            wrapper.update_params(model(inputs).exp().sum())
            assert (guard.stepped, guard.found) == (guarded, False)
        found.append(weights(model))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    'factor, kind', [(NAN, 'loss'), (INF, 'loss'), (None, 'gradient')]
)
def test_step_is_left_out(factor, kind):
    model, wrapper, guard = make()
    before = weights(model)
    guard.begin()
    loss = model(torch.ones(1, 2)).sum()
    if kind == 'gradient':
        # Finite at 0, where its slope is infinite.
        loss = (loss - loss.detach()).sqrt()
    else:
        loss = loss.detach() * factor + 0 * loss
    wrapper.update_params(loss)
    assert (guard.stepped, guard.found) == (True, True)
    assert guard.has_finite_losses() == (kind == 'gradient')
    assert torch.equal(weights(model), before)
    assert not wrapper.optimizer.state
    # Nothing of it is in the next one.
    assert all(not p.grad.isnan().any() for p in with_gradient(model))
    guard.begin()
    wrapper.update_params(model(torch.ones(1, 2)).sum())
    assert (guard.stepped, guard.found) == (True, False)
    assert not torch.equal(weights(model), before)


def with_gradient(model):
    return [p for p in model.parameters() if p.grad is not None]


def test_infinite_loss_with_finite_gradients_is_left_out():
    model, wrapper, guard = make()
    before = weights(model)
    guard.begin()
    wrapper.update_params(model(torch.ones(1, 2)).sum() + INF)
    assert guard.found
    assert torch.equal(weights(model), before)


def test_running_statistics():
    """1e30 is finite, its square is not: nan in each evaluation to come."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    model, wrapper, guard = make(model=model)
    before = weights(model)
    guard.begin()
    loss = model(torch.tensor([[1e30, 0.0], [0.0, 1.0]])).sum()
    assert loss.isfinite()
    assert model[0].running_var.isinf().any()
    wrapper.update_params(loss)
    assert guard.found
    assert not guard.has_finite_losses()
    assert torch.equal(weights(model), before)


def test_step_is_done_nevertheless():
    model, wrapper, guard = make(leave_out=False)
    guard.begin()
    wrapper.update_params(model(torch.full((1, 2), NAN)).sum())
    assert (guard.stepped, guard.found) == (True, True)
    assert weights(model).isnan().any()


def test_accumulated_step():
    model, wrapper, guard = make(accumulative_counts=3)
    before = weights(model)
    found = []
    for value in (1, NAN, 1, 1, 1, 1):
        is_first = guard.begin()
        wrapper.update_params(model(torch.full((1, 2), float(value))).sum())
        found.append(
            (is_first, guard.stepped, guard.found, guard.has_finite_losses())
        )
        if len(found) == 3:
            assert torch.equal(weights(model), before)
    assert found == [
        (True, False, False, True),
        (False, False, False, False),
        (False, True, True, False),
        (True, False, False, True),
        (False, False, False, True),
        (False, True, False, True),
    ]
    assert not torch.equal(weights(model), before)


def test_each_of_several_optimizers():
    models = dict(a=nn.Linear(2, 1), b=nn.Linear(2, 1))
    wrappers = {
        name: OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        for name, model in models.items()
    }
    guard = StepGuard(
        OptimWrapperDict(**wrappers), nn.ModuleDict(models), True
    )
    guard.install()
    before = {name: weights(model) for name, model in models.items()}
    guard.begin()
    for name, value in (('a', NAN), ('b', 1)):
        wrappers[name].update_params(
            models[name](torch.full((1, 2), float(value))).sum()
        )
    assert guard.found
    assert torch.equal(weights(models['a']), before['a'])
    assert not torch.equal(weights(models['b']), before['b'])


class Scaled(OptimWrapper):
    """As AmpOptimWrapper, which needs a GPU: the scaler leaves out steps."""

    def __init__(self, *args, enabled=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_scaler = SimpleNamespace(is_enabled=lambda: enabled)
        self.num_updates = 0

    def step(self, **kwargs):
        self.num_updates += 1  # of the scale


@pytest.mark.parametrize(
    'enabled, value, found, updates',
    [
        (True, INF, True, 1),
        # A scale that is too large is no news.
        (True, 1.0, False, 1),
        (False, INF, True, 0),
        (False, 1.0, True, 0),
    ],
)
def test_gradient_scaler(enabled, value, found, updates):
    model = nn.Linear(2, 1)
    wrapper = Scaled(
        torch.optim.SGD(model.parameters(), lr=0.1), enabled=enabled
    )
    guard = StepGuard(wrapper, model, True)
    guard.install()
    guard.begin()
    loss = model(torch.ones(1, 2)).sum()
    loss.register_hook(lambda grad: grad * INF)
    wrapper.update_params(loss * 0 + value)
    assert guard.found == found
    assert wrapper.num_updates == updates


def test_are_finite():
    assert are_finite([])
    assert are_finite(iter([torch.ones(2), torch.zeros(3, 1)]))
    assert not are_finite([torch.ones(2), torch.tensor([1, NAN])])
    assert not are_finite([torch.tensor([1, -INF])])
    # The sum of their squares overflows.
    assert are_finite([torch.full((2,), 1e30)])


@pytest.mark.parametrize('value', [1.0, NAN])
def test_sparse_gradient(value):
    model, wrapper, guard = make(model=nn.Embedding(3, 2, sparse=True))
    wrapper.optimizer.param_groups[0]['momentum'] = 0
    guard.begin()
    wrapper.update_params(model(torch.tensor([1])).sum() * value)
    assert guard.found == (value != 1)


def test_losses_on_the_host_stay():
    loss = torch.tensor(1.0)
    outputs = dict(loss=loss, other=2)
    move_to_host(outputs)
    assert outputs['loss'] is loss
    assert outputs == dict(loss=loss, other=2)
    move_to_host(None)


def test_losses_of_a_device_move_at_once(monkeypatch):
    stacked = []

    class OnDevice(torch.Tensor):
        device = torch.device('cuda')

    def stack(values):
        stacked.append(len(values))
        return torch.tensor([float(value) for value in values])

    monkeypatch.setattr(step_guard.torch, 'stack', stack)
    outputs = {
        name: torch.tensor(value).as_subclass(OnDevice)
        for name, value in (('loss', 1.5), ('other', 2.5))
    }
    move_to_host(outputs)
    assert stacked == [2]
    assert {k: v.item() for k, v in outputs.items()} == dict(
        loss=1.5, other=2.5
    )
    assert {v.device.type for v in outputs.values()} == {'cpu'}
