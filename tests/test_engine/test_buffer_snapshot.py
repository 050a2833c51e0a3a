import pytest
import torch
from torch import nn

from mmdskd.engine import buffer_snapshot
from mmdskd.engine.buffer_snapshot import BufferSnapshot


@pytest.fixture(params=['at once', 'one by one'])
def copying(request, monkeypatch):
    """As torch copies now, and as before it could copy many at once."""
    if request.param == 'one by one':
        monkeypatch.setattr(buffer_snapshot, '_foreach_copy', None)


def make_model():
    return nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.ReLU())


def test_restores_what_a_forward_changes(copying):
    model = make_model()
    snapshot = BufferSnapshot(model)
    for _ in range(2):
        model(torch.randn(4, 2))
        snapshot.take()
        kept = {name: b.clone() for name, b in model.named_buffers()}
        weight = model[0].weight.detach().clone()
        model(torch.full((4, 2), float('nan')))
        assert model[1].running_mean.isnan().all()
        with torch.no_grad():
            model[0].weight += 1
        snapshot.restore()
        for name, buffer in model.named_buffers():
            assert torch.equal(buffer, kept[name]), name
        # Parameters are no buffers.
        assert torch.equal(model[0].weight, weight + 1)


def test_modules_in_evaluation_mode_keep_theirs(copying):
    model = make_model()
    snapshot = BufferSnapshot(model)
    model[0].eval()
    snapshot.take()
    model[0].running_mean += 1
    model[1].running_mean += 1
    snapshot.restore()
    assert model[0].running_mean.tolist() == [1, 1]
    assert model[1].running_mean.tolist() == [0, 0]
    # Back in training mode, it counts again.
    model[0].train()
    snapshot.take()
    model[0].running_mean += 1
    snapshot.restore()
    assert model[0].running_mean.tolist() == [1, 1]


def test_buffer_that_is_another_tensor_now(copying):
    model = make_model()
    snapshot = BufferSnapshot(model)
    snapshot.take()
    model[0].running_mean = torch.tensor([5.0, 6.0])
    snapshot.take()
    model[0].running_mean += 1
    snapshot.restore()
    assert model[0].running_mean.tolist() == [5, 6]
