"""Components without a runner and a config."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn import functional as F

from mmdskd.datasets import Digits, InMemoryDataset
from mmdskd.models import (
    AugmentingDataPreprocessor,
    Branch,
    DSKDConnector,
    DSKDLoss,
    MultiModuleOutputsRecorder,
    ProportionalStrategy,
)


def test_half_precision():
    """Loss and state are float32; the gradients are those of full precision,
    as far as that goes."""
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    recorder = MultiModuleOutputsRecorder(['0'])
    recorder.initialize(student)
    heads = DSKDConnector(
        in_channels=[4], strides=[1], out_channels=8, num_classes=3
    )
    loss = DSKDLoss(1, dict(type='KLDivergence'), nn.MSELoss())
    images, preds_T = torch.rand(8, 1, 8, 8), torch.rand(8, 3)
    feat_T = torch.rand(8, 8, 6, 6)
    gradients, values = [], []
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            with recorder:
                assert student(images).dtype is (
                    torch.bfloat16 if enabled else torch.float32
                )
            value = loss(heads(recorder.get_record_data()), preds_T, feat_T)
        assert value.dtype is torch.float32
        assert loss.last_losses['feat'].dtype is torch.float32
        student.zero_grad()
        value.backward()
        gradients.append(student[0].weight.grad.clone())
        values.append(value.detach())
    torch.testing.assert_close(*values, rtol=0.02, atol=0)
    similarity = F.cosine_similarity(*(g.flatten() for g in gradients), dim=0)
    assert 0.99 < similarity < 1


@pytest.mark.parametrize('scope', [None, 'mmpretrain', 'mmrazor', 'mmdskd'])
def test_parts_are_found_in_every_scope(scope):
    """What components build by themselves does not depend on the scope."""
    registry = DefaultScope._instance_dict
    before = dict(registry)
    if scope is None:
        registry.clear()
    else:
        DefaultScope.get_instance(f'test_{scope}', scope_name=scope)
    try:
        DSKDConnector(in_channels=[4], strides=[1], out_channels=4)
        loss = DSKDLoss(
            1,
            logit_loss=dict(type='KLDivergence'),
            label_loss=dict(type='mmpretrain.CrossEntropyLoss'),
        )
        AugmentingDataPreprocessor(augments=[dict(type='BatchRandomFlip')])
        InMemoryDataset(
            dict(
                type='mmdskd.Digits',
                indices=2,
                pipeline=[dict(type='mmpretrain.PackInputs')],
            )
        )
    finally:
        registry.clear()
        registry.update(before)
    assert [
        type(criteria[0]).__module__.split('.')[0]
        for criteria in loss.criteria.values()
    ] == ['mmrazor', 'mmpretrain']


def test_bare_names_are_ours_without_a_scope():
    registry = DefaultScope._instance_dict
    before = dict(registry)
    registry.clear()
    try:
        images = InMemoryDataset(
            dict(
                type='Digits',
                indices=2,
                pipeline=[
                    dict(type='Resize', scale=16),
                    dict(type='PackInputs'),
                ],
            )
        )
    finally:
        registry.update(before)
    assert images[0]['inputs'].shape == (1, 16, 16)
    assert isinstance(images.dataset, Digits)


def test_weights_may_be_updated_before_the_backward():
    """The gradient is that of the loss as it was."""
    gradients = []
    for early in (True, False):
        torch.manual_seed(0)
        logits = torch.rand(2, 8, 3, requires_grad=True)
        loss = DSKDLoss(2, dict(type='KLDivergence'))
        value = loss([Branch(logits=row) for row in logits], torch.rand(8, 3))
        if early:
            loss.collect_losses()
            loss.update_weights(ProportionalStrategy())
            loss.ramp.fill_(0.0)
            assert not torch.equal(
                loss.allocation['logit'].weights, torch.ones(2)
            )
        value.backward()
        gradients.append(logits.grad)
    assert gradients[0].abs().sum() > 0
    assert torch.equal(*gradients)
