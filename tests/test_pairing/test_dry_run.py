import copy

import pytest
import torch
from torch import nn

from mmdskd.pairing.dry_run import _check, _Probe, settle, try_training

SHAPE = (1, 16, 16)


def test_losses_of_each_iteration(dskd_config):
    before = copy.deepcopy(dskd_config.to_dict())
    losses = try_training(dskd_config, SHAPE, 10, iterations=3)
    assert len(losses) == 3
    for values in losses:
        assert set(values) == {
            'loss',
            'student.loss',
            'distill.loss_kd',
            'distill.loss_dskd',
        }
        parts = [value for name, value in values.items() if name != 'loss']
        assert values['loss'] == pytest.approx(sum(parts), rel=1e-5)
    assert dskd_config.to_dict() == before


def test_a_head_without_gradient_is_told(dskd_config):
    loss = dskd_config.model.distiller.distill_losses.loss_dskd
    loss.logit_loss.loss_weight = 0.0
    with pytest.raises(
        RuntimeError,
        match=r'should get a gradient, but heads.heads.0.classifier.weight'
        r' got gradients of norm \[0.0, 0.0\]',
    ):
        try_training(dskd_config, SHAPE, 10)


def test_a_loss_that_is_not_finite_is_told(dskd_config):
    loss = dskd_config.model.distiller.distill_losses.loss_dskd
    loss.loss_weight = float('inf')
    with pytest.raises(
        RuntimeError, match="finite, but got .*'distill.loss_dskd': inf"
    ):
        try_training(dskd_config, SHAPE, 10)


@pytest.mark.parametrize('gradients', [[], [torch.tensor(float('nan'))]])
def test_none_and_nan_are_no_gradients(gradients):
    probe = _Probe()
    probe.losses = [dict(loss=1.0)]
    probe.gradients = {'heads.a': [torch.tensor(1.0)], 'heads.b': gradients}
    with pytest.raises(RuntimeError, match='heads.b got gradients of norm'):
        _check(probe)


def test_statistics_are_those_of_the_batch():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    images = 5 + 2 * torch.randn(
        8, 3, 6, 6, generator=torch.Generator().manual_seed(0)
    )
    settle(network, images)
    conv, norm = network
    values = conv(images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, values.mean(dim=1))
    torch.testing.assert_close(norm.running_var, values.var(dim=1))
    assert norm.momentum == 0.1
    assert not any(module.training for module in network.modules())
