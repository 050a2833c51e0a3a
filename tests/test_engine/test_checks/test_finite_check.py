import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmdskd.engine.checks.finite_check import check_finite, named_tensors

NAN = float('nan')


def make(model):
    return OptimWrapper(torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))


class Student(nn.Module):
    """With a teacher outside of its modules."""

    def __init__(self, teacher):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.__dict__['teacher'] = teacher


def test_finite():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    check_finite(model, make(model))


def test_statistics():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].running_var[0] = NAN
    with pytest.raises(ValueError) as raised:
        check_finite(model, make(model))
    assert str(raised.value) == (
        'Weights and momentum should be finite before training. The model '
        'holds nan or inf in 1 tensors, so its results mean nothing: '
        '1.running_var. Choose an earlier checkpoint for load_from, --resume '
        'or teacher_ckpt.'
    )


def test_teacher_outside_of_the_modules():
    model = Student(nn.Linear(2, 2))
    assert [name for name, _ in named_tensors(model)] == [
        'fc.weight',
        'fc.bias',
        'teacher.weight',
        'teacher.bias',
    ]
    nn.init.constant_(model.teacher.bias, NAN)
    with pytest.raises(ValueError, match=r'in 1 tensors.*: teacher\.bias\.'):
        check_finite(model, make(model))


def test_teacher_among_the_modules_counts_once():
    model = Student(None)
    model.__dict__.pop('teacher')
    model.teacher = nn.Linear(2, 2)
    assert len(named_tensors(model)) == 4


def test_momentum():
    models = dict(a=nn.Linear(2, 2), b=nn.Linear(2, 2))
    wrappers = {name: make(model) for name, model in models.items()}
    for name, model in models.items():
        model(torch.ones(1, 2)).sum().backward()
        wrappers[name].step()
    model = nn.ModuleDict(models)
    check_finite(model, OptimWrapperDict(**wrappers))
    state = wrappers['b'].optimizer.state[models['b'].bias]
    state['momentum_buffer'][0] = NAN
    message = 'in 1 tensors.*: momentum_buffer of parameter 1 in the optimizer'
    with pytest.raises(ValueError, match=message):
        check_finite(model, OptimWrapperDict(**wrappers))
