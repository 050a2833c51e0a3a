import copy

import pytest
import torch
from hooked_networks import (
    CLASSES,
    PartialClassifier,
    RenamingClassifier,
    SecretClassifier,
    TinyClassifier,
    randomize,
)
from torch import nn

from mmdskd.utils.load_whole import LoadReport, load_whole, mark_tensors
from mmdskd.utils.state_dict import find_tensors

WHOLE = LoadReport([], [], [])
# What PartialClassifier and SecretClassifier do not save
LEFT_OUT = {
    PartialClassifier: [
        'model.2.weight',
        'model.2.bias',
        'model.3.weight',
        'model.3.bias',
        'model.3.running_mean',
        'model.3.running_var',
    ],
    SecretClassifier: ['fc.bias'],
}


@pytest.mark.parametrize('kind', CLASSES)
def test_report_of_what_a_class_saves(kind):
    saved, other = randomize(kind(), 1), randomize(kind(), 2)
    before = {k: v.clone() for k, v in find_tensors(other).items()}
    report = load_whole(other, copy.deepcopy(saved.state_dict()))
    left_out = LEFT_OUT.get(kind, [])
    assert report == WHOLE._replace(missing=left_out)
    for name, tensor in find_tensors(saved).items():
        expected = before[name] if name in left_out else tensor
        assert torch.equal(find_tensors(other)[name], expected), name


@pytest.mark.parametrize('kind', [RenamingClassifier, PartialClassifier])
def test_names_of_the_tree_are_loaded(kind):
    saved, other = randomize(kind(), 1), randomize(kind(), 2)
    assert load_whole(other, find_tensors(saved)) == WHOLE
    for name, tensor in find_tensors(saved).items():
        assert torch.equal(find_tensors(other)[name], tensor), name


def test_unexpected_names_are_not_hidden():
    network = PartialClassifier()
    weights = dict(network.state_dict(), other=torch.ones(1))
    assert load_whole(network, weights).unexpected == ['other']


def test_shapes_that_differ():
    network = TinyClassifier()
    weights = network.state_dict()
    weights['fc.weight'] = torch.ones(100, 8)
    weights['other'] = torch.ones(1)
    del weights['fc.bias']
    report = load_whole(network, weights)
    assert report.missing == ['fc.bias']
    assert report.unexpected == ['other']
    assert len(report.mismatched) == 1
    assert report.mismatched[0].startswith('fc.weight: copying a param')
    assert '[100, 8]' in report.mismatched[0]
    assert not report.is_whole


def test_extra_state_is_reported_but_a_batch_count_is_not():
    class Counter(nn.Module):
        def get_extra_state(self):
            return 1

        def set_extra_state(self, state):
            pass

    network = nn.Sequential(nn.BatchNorm1d(2), Counter())
    weights = network.state_dict()
    del weights['0.num_batches_tracked']
    assert load_whole(network, weights) == WHOLE
    del weights['1._extra_state']
    assert load_whole(network, weights).missing == ['1._extra_state']


@pytest.mark.parametrize(
    'dtype', [torch.float32, torch.float16, torch.int64, torch.uint8]
)
def test_mark_is_no_value_of_a_fresh_tensor(dtype):
    tensor = torch.zeros(3, dtype=dtype)
    mark_tensors({'name': tensor})
    assert (tensor > 1).all() and torch.isfinite(tensor.float()).all()


def test_mark_of_booleans():
    tensor = torch.tensor([True, False])
    mark_tensors({'name': tensor})
    assert tensor.tolist() == [False, True]
