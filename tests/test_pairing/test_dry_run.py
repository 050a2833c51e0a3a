import copy

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from mmdskd.pairing import dry_run
from mmdskd.pairing.dry_run import _check, _Probe, try_training, update_bn

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
    loss.loss_weight = 1e39  # beyond float32
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


class Frozen(nn.Module):
    """The first norm stays in eval mode, and there is dropout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.frozen, self.norm = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.dropout = nn.Dropout()

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x):
        return self.norm(self.dropout(self.frozen(self.conv(x))))


def test_statistics_are_those_of_the_batch():
    network = Frozen()
    images = 5 + 2 * torch.randn(
        8, 3, 6, 6, generator=torch.Generator().manual_seed(0)
    )
    update_bn(network, images)
    assert not any(module.training for module in network.modules())
    values = network.conv(images)
    for norm in (network.frozen, network.norm):
        channels = values.transpose(0, 1).flatten(1)
        torch.testing.assert_close(norm.running_mean, channels.mean(dim=1))
        torch.testing.assert_close(norm.running_var, channels.var(dim=1))
        assert norm.momentum == 0.1
        # Biased, as the norm itself is in training.
        values = nn.functional.batch_norm(values, None, None, training=True)


def test_statistics_are_those_of_torch():
    """Where nothing is frozen and nothing is random."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)
    )
    images = torch.rand(8, 3, 6, 6)
    swa_utils.update_bn([images], network)
    expected = copy.deepcopy(network.state_dict())
    update_bn(network, images)
    for name, value in network.state_dict().items():
        if not name.endswith('num_batches_tracked'):
            torch.testing.assert_close(value, expected[name])


class TestMapsOf1x1:
    """A bias before a batch norm of two values gets a gradient of 0."""

    @pytest.fixture
    def config(self, dskd_config):
        model = dskd_config.model
        model.teacher.backbone.strides = (2, 2, 4)
        heads = model.distiller.connectors.heads
        del heads['strides']
        heads.out_size = 1
        return dskd_config

    def test_more_images_tell_that_it_trains(self, config, monkeypatch):
        sizes = []
        train = dry_run._train

        def spy(*args):
            sizes.append(args[-1])
            return train(*args)

        monkeypatch.setattr(dry_run, '_train', spy)
        assert len(try_training(config, SHAPE, 10)) == 2
        assert sizes == [2, 8]

    def test_what_gets_no_gradient_with_any_number(self, config):
        loss = config.model.distiller.distill_losses.loss_dskd
        loss.feat_loss.loss_weight = 0.0
        loss.logit_loss.loss_weight = 0.0
        with pytest.raises(RuntimeError, match=r'of norm \[0.0, 0.0\]'):
            try_training(config, SHAPE, 10)
