"""Teachers, batches and losses for tests of the frozen teacher."""

import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FROZEN = 'mmdskd.FrozenTeacherDistill'
STOCK = 'mmrazor.SingleTeacherDistill'


def make_teacher(cfg):
    """A teacher whose batch norms are not the identity."""
    torch.manual_seed(5)
    teacher = MODELS.build(cfg)
    for parameter in teacher.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    for norm in teacher.modules():
        if isinstance(norm, _BatchNorm):
            norm.momentum = None
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
    teacher.train()
    with torch.no_grad():
        for _ in range(3):
            teacher(torch.randn(32, 1, 16, 16))
    return teacher.eval()


def make_batch(size=8):
    images = torch.randn(
        size, 1, 16, 16, generator=torch.Generator().manual_seed(1)
    )
    return images, [DataSample().set_gt_label(i % 10) for i in range(size)]


def losses_of(algorithm, iterations=5):
    """Losses of the first iterations of training by SGD."""
    optimizer = torch.optim.SGD(
        [p for p in algorithm.parameters() if p.requires_grad], lr=0.05
    )
    history = []
    for _ in range(iterations):
        losses = algorithm(*make_batch(), mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({key: value.item() for key, value in losses.items()})
    return history


def assert_same_losses(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for row, expected in zip(ours, theirs):
        assert row == pytest.approx(expected, rel=tolerance)


def recorded(algorithm):
    """What the teacher's recorders hold when the losses are computed."""
    data = dict()
    compute = algorithm.distiller.compute_distill_losses

    def spy():
        for (
            name,
            recorder,
        ) in algorithm.distiller.teacher_recorders.recorders.items():
            data[name] = list(recorder.data_buffer)
        return compute()

    algorithm.distiller.compute_distill_losses = spy
    algorithm(*make_batch(), mode='loss')
    return data


def batch_norms(model):
    return [
        name for name, m in model.named_modules() if isinstance(m, _BatchNorm)
    ]


def count_calls(model, name):
    calls = []
    model.get_submodule(name).register_forward_hook(
        lambda *args: calls.append(1)
    )
    return calls
