import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mmdskd.models.utils.multi_label import is_multi_label, make_multi_hot


@pytest.mark.parametrize(
    'head, several',
    [
        (dict(type='MultiLabelClsHead'), True),
        (
            dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=8),
            True,
        ),
        (
            dict(
                type='CSRAClsHead',
                num_classes=4,
                in_channels=8,
                num_heads=1,
                lam=0.1,
            ),
            True,
        ),
        (dict(type='LinearClsHead', num_classes=4, in_channels=8), False),
    ],
)
def test_heads(head, several):
    network = nn.Module()
    network.head = MODELS.build(dict(head, _scope_='mmpretrain'))
    assert is_multi_label(network) == several


def test_networks_without_a_head():
    assert not is_multi_label(nn.Linear(2, 2))
    assert not is_multi_label(None)


@pytest.mark.parametrize(
    'sample, labels',
    [
        (DataSample().set_gt_label([0, 2]), [1, 0, 1, 0]),
        (
            DataSample().set_gt_label(torch.tensor([], dtype=torch.long)),
            [0, 0, 0, 0],
        ),
        (
            DataSample()
            .set_gt_label([0])
            .set_gt_score(torch.tensor([1, 0, 0, 1])),
            [1, 0, 0, 1],
        ),
    ],
)
def test_labels(sample, labels):
    assert make_multi_hot(sample, 4).tolist() == labels


def test_difficult_labels_are_left_out():
    """Unless an image has the class in plain sight as well."""
    sample = DataSample().set_gt_label([0, 2])
    sample.set_field([2, 3], 'gt_label_difficult')
    assert make_multi_hot(sample, 4).tolist() == [1, 0, 1, -1]
