import copy
import pickle

import pytest
import torch
from mmengine.config import ConfigDict
from mmrazor.models.task_modules import RecorderManager
from torch import nn

from mmdskd.models import CIFARResNet, MultiModuleOutputsRecorder


class Net(nn.Module):
    """Runs its layers in the order c, a, b; d not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)
        self.b = nn.Linear(3, 4)
        self.c = nn.Linear(5, 2)
        self.d = nn.Linear(1, 1)

    def forward(self, x):
        return self.b(self.a(self.c(x)))


def recorder_of(model, *sources):
    recorder = MultiModuleOutputsRecorder(sources)
    recorder.initialize(model)
    return recorder


def shapes(recorder):
    return [out.size(1) for out in recorder.get_record_data()]


def test_records_in_the_order_of_sources():
    model = Net()
    recorder = recorder_of(model, 'b', 'c', 'a')
    with recorder:
        out = model(torch.ones(6, 5))
    record = recorder.get_record_data()
    assert record[0] is out
    assert shapes(recorder) == [4, 2, 3]
    assert recorder.get_record_data(data_idx=2).shape == (6, 3)


def test_each_forward_starts_a_new_record():
    model = Net()
    recorder = recorder_of(model, 'a')
    for n in (6, 7):
        with recorder:
            model(torch.ones(n, 5))
    assert len(recorder.data_buffer) == 1
    assert recorder.get_record_data()[0].size(0) == 7


def test_records_nothing_outside_its_context():
    model = Net()
    recorder = recorder_of(model, 'a')
    model(torch.ones(6, 5))
    assert recorder.data_buffer == []


def test_is_built_from_a_config_of_mmrazor():
    manager = RecorderManager(
        ConfigDict(
            r=dict(type='mmdskd.MultiModuleOutputs', sources=['a', 'b'])
        )
    )
    assert isinstance(manager.get_recorder('r'), MultiModuleOutputsRecorder)
    model = Net()
    manager.initialize(model)
    with manager:
        model(torch.ones(1, 5))
    assert shapes(manager.get_recorder('r')) == [3, 4]


def test_unknown_source_tells_near_names():
    model = nn.ModuleDict(
        dict(backbone=nn.ModuleDict(dict(layer1=nn.ReLU(), layer2=nn.ReLU())))
    )
    with pytest.raises(
        KeyError,
        match="'backbone.layr1' is not a module of ModuleDict; did you "
        "mean 'backbone.layer1'",
    ):
        recorder_of(model, 'backbone.layr1')
    with pytest.raises(KeyError, match=r"its top modules are \['backbone'\]"):
        recorder_of(model, 'zzz')


@pytest.mark.parametrize(
    'sources, error, message',
    [
        (['a', 'b', 'a'], ValueError, 'but a is given twice'),
        ([], ValueError, 'at least one module'),
        ('a', TypeError, "a list of module names, but got 'a'"),
        ([1], TypeError, 'a list of module names'),
    ],
)
def test_wrong_sources(sources, error, message):
    with pytest.raises(error, match=message):
        MultiModuleOutputsRecorder(sources)


def test_module_that_is_not_run_is_named_with_those_that_were():
    model = Net()
    recorder = recorder_of(model, 'a', 'd', 'b')
    with (
        pytest.raises(
            RuntimeError,
            match=r"'d' did not run.*of its sources, \['a', 'b'\] did run",
        ),
        recorder,
    ):
        model(torch.ones(1, 5))
    assert recorder.data_buffer == []


def test_module_that_runs_twice_is_named():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer)
    recorder = recorder_of(model, '0')
    with (
        pytest.raises(RuntimeError, match="'0' runs more than once"),
        recorder,
    ):
        model(torch.ones(1, 2))


def test_output_that_changes_in_place_is_named():
    block = CIFARResNet(8, stem_channels=4, stage_channels=(4, 4, 4))
    recorder = recorder_of(block, 'layer1', 'layer2.0.bn2')
    with (
        pytest.raises(
            RuntimeError,
            match="The output of 'layer2.0.bn2' was changed in place",
        ),
        recorder,
    ):
        block(torch.rand(2, 3, 8, 8))
    assert recorder.data_buffer == []


def test_an_error_of_the_model_is_not_hidden():
    model = Net()
    recorder = recorder_of(model, 'd')
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError
    model.d(torch.ones(1, 1))
    assert recorder.data_buffer == []


def test_hooks_can_be_removed_and_attached_anew():
    model = Net()
    recorder = recorder_of(model, 'a', 'b')
    recorder.remove_hooks()
    assert not model.a._forward_hooks and not model.b._forward_hooks
    with pytest.raises(AssertionError, match='initialize'):
        recorder.__enter__()
    recorder.initialize(model)
    with recorder:
        model(torch.ones(1, 5))
    assert shapes(recorder) == [3, 4]


def test_a_second_model_takes_the_place_of_the_first():
    first, second = Net(), Net()
    recorder = recorder_of(first, 'a', 'b')
    for model in (first, second, second):
        recorder.initialize(model)
        with recorder:
            model(torch.ones(1, 5))
        assert shapes(recorder) == [3, 4]
    assert not first.a._forward_hooks
    assert len(second.a._forward_hooks) == 1


def test_nothing_is_recorded_outside_of_the_context():
    model = Net()
    recorder = recorder_of(model, 'a', 'b')
    model(torch.ones(1, 5))
    with pytest.raises(RuntimeError, match='with recorder: model'):
        recorder.get_record_data()
    with recorder:
        model(torch.ones(1, 5))
    assert recorder.get_record_data(data_idx=1).shape == (1, 4)
    recorder.reset_data_buffer()
    with pytest.raises(RuntimeError, match='gone after reset_data_buffer'):
        recorder.get_record_data()


class Recorded(nn.Module):
    """A model that carries its recorder, as MMRazor's algorithms do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.recorder = recorder_of(self.net, 'b', 'a')

    def forward(self, x):
        with self.recorder:
            return self.net(x)


@pytest.mark.parametrize(
    'duplicate',
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=['deepcopy', 'pickle'],
)
def test_a_model_that_has_run_copies_with_its_recorder(duplicate):
    model = Recorded()
    model(torch.ones(6, 5))
    twin = duplicate(model)
    assert twin.recorder.data_buffer == []

    twin(torch.ones(7, 5))
    assert [out.shape for out in twin.recorder.get_record_data()] == [
        (7, 4),
        (7, 3),
    ]
    # The original still has its own record, and neither hears the other.
    assert [out.size(0) for out in model.recorder.get_record_data()] == [6, 6]

    twin.recorder.remove_hooks()
    assert not twin.net.a._forward_hooks and model.net.a._forward_hooks


def test_record_within_the_context():
    """As AutoSlim and DMCP compute their losses."""
    model = Net()
    recorder = recorder_of(model, 'b', 'a')
    with recorder:
        with pytest.raises(RuntimeError, match="'b', 'a' did not run"):
            recorder.get_record_data()
        out = model(torch.ones(6, 5))
        assert recorder.get_record_data(data_idx=0) is out
        assert shapes(recorder) == [4, 3]
    assert len(recorder.data_buffer) == 1
    assert shapes(recorder) == [4, 3]
