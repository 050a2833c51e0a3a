"""Architecture search of MMRazor with MMPretrain in place of mmcls."""

import copy

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS, TASK_UTILS
from torch import nn

from mmdskd.compat import mmrazor_nas as patches
from mmdskd.utils.config import load_config

SUPERNETS = {
    'darts/darts_supernet_unroll_1xb96_cifar10.py': 32,
    'spos/spos_shufflenet_supernet_8xb128_in1k.py': 64,
    'spos/spos_mobilenet_supernet_8xb128_in1k.py': 64,
    'dsnas/dsnas_supernet_8xb128_in1k.py': 64,
    'autoslim/autoslim_mbv2_1.5x_supernet_8xb256_in1k.py': 64,
}


def build(config):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(config)


def load(name):
    return load_config(f'mmrazor::nas/mmcls/{name}').model


def fill(size, num=2, label=1):
    """A batch of noise, as a data loader gives it."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (num, 3, size, size), generator=generator, dtype=torch.uint8
    )
    samples = [DataSample().set_gt_label(label) for _ in range(num)]
    return dict(inputs=list(images), data_samples=samples)


# ---------------------------------------------------------------------------
# Supernets
# ---------------------------------------------------------------------------
@pytest.mark.parametrize('name', SUPERNETS)
def test_supernet_of_mmrazor_is_built_and_searched(name):
    model = build(load(name))
    model.mutator.set_choices(model.mutator.sample_choices())
    architecture = model.architecture.eval()
    size = SUPERNETS[name]
    out = architecture(torch.zeros(2, 3, size, size))
    assert out.shape == (2, 10 if 'cifar' in name else 1000)
    assert out.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'bignas/attentive_mobilenet_supernet_32xb64_in1k.py',
        'autoformer/autoformer_supernet_32xb256_in1k.py',
    ],
)
def test_supernet_with_dynamic_layers_trains(name):
    """By the classifier of MMRazor itself, which has no scope."""
    model = build(load(name))
    batch = model.data_preprocessor(fill(224), True)
    model.mutator.set_choices(model.mutator.sample_choices())
    losses = model.architecture(**batch, mode='loss')
    assert losses['loss'].isfinite()


def test_inputs_to_trace_a_network_of_mmpretrain_by():
    demo = TASK_UTILS.build(
        dict(
            type='mmrazor.DefaultDemoInput',
            input_shape=(2, 3, 32, 32),
            scope='mmpretrain',
        )
    )
    model = build(load_config('mmcls::resnet/resnet18_8xb16_cifar10.py').model)
    data = demo.get_data(model)
    assert data['inputs'].shape == (2, 3, 32, 32)
    assert [s.gt_label.item() for s in data['data_samples']] == [1, 1]
    assert model.eval()(**data).shape == (2, 10)


# ---------------------------------------------------------------------------
# What has changed below MMRazor
# ---------------------------------------------------------------------------
def test_dynamic_sequential_of_a_static_one():
    from mmrazor.models.architectures.dynamic_ops import DynamicSequential
    from mmrazor.models.mutables import OneShotMutableValue

    static = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    static.add_module('last', nn.Linear(3, 1))
    dynamic = DynamicSequential.convert_from(static)
    assert isinstance(dynamic, DynamicSequential)
    assert list(dynamic.state_dict()) == list(static.state_dict())
    depth = OneShotMutableValue(value_list=[2, 3])
    dynamic.register_mutable_attr('depth', depth)
    x = torch.randn(4, 2)
    for depth.current_choice in (2, 3):
        expected = static[: depth.current_choice](x)
        assert torch.equal(dynamic(x), expected)


class OneChoice(nn.Module):
    mutable_prefix = 'module'

    def __init__(self, weight, gradient):
        super().__init__()
        self.arch_weights = torch.tensor(weight)
        self.arch_weights.grad = gradient


@pytest.mark.parametrize('cleared', ['removed', 'kept'])
def test_gradients_of_dsnas(cleared):
    """torch >= 2 removes gradients, older ones fill them with zeros."""
    gradient = torch.tensor([1.0, 2.0])
    parameter = nn.Parameter(torch.ones(2))
    if cleared == 'kept':
        parameter.grad = torch.tensor([1.0, 4.0])
    algorithm = type('Algorithm', (), {})()
    algorithm.architecture = nn.Sequential(
        OneChoice([0.0, 1.0], gradient), nn.Linear(1, 1)
    )
    algorithm.search_space_name_list = ['0']
    algorithm.mutator = type('Mutator', (), {})()
    algorithm.mutator.arch_params = {'module_0': parameter}
    patches.handle_gradients(algorithm)
    assert gradient.tolist() == [0, 0]
    if cleared == 'kept':
        assert parameter.grad.tolist() == [3, 12]
    else:
        assert parameter.grad is None


def test_dsnas_trains():
    config = load('dsnas/dsnas_supernet_8xb128_in1k.py')
    config.pretrain_epochs, config.finetune_epochs = 0, 5
    model = build(config)
    hub = MessageHub.get_current_instance()
    hub.update_info('epoch', 1)
    before = copy.deepcopy(dict(model.mutator.arch_params))
    optimizers = OptimWrapperDict(
        architecture=OptimWrapper(
            torch.optim.SGD(model.architecture.parameters(), lr=0.01)
        ),
        mutator=OptimWrapper(
            torch.optim.SGD(model.mutator.parameters(), lr=1.0)
        ),
    )
    logs = model.train_step(fill(64), optimizers)
    assert logs['supernet.loss'].isfinite()
    assert any(
        not torch.equal(before[name], value)
        for name, value in model.mutator.arch_params.items()
    )


# ---------------------------------------------------------------------------
# Predictors of accuracies
# ---------------------------------------------------------------------------
def test_metric_predictor_reads_and_writes_architectures():
    """``np.int`` is gone from numpy."""
    from mmrazor.models.mutables import OneShotMutableOP

    torch.manual_seed(0)
    np.random.seed(0)
    mutable = OneShotMutableOP(
        candidates={
            name: dict(type='mmrazor.ShuffleBlock', kernel_size=size)
            for name, size in (('a', 3), ('b', 5), ('c', 7))
        },
        module_kwargs=dict(in_channels=4, out_channels=4, stride=1),
    )
    predictor = TASK_UTILS.build(
        dict(
            type='mmrazor.MetricPredictor',
            encoding_type='onehot',
            train_samples=6,
            handler_cfg=dict(type='mmrazor.MLPHandler', epochs=3),
            search_groups={0: [mutable]},
        )
    )
    vector = predictor.model2vector({0: 'b'})
    assert [int(v) for v in vector['onehot_vector']] == [0, 1, 0]
    assert vector['normal_vector'] == [1]
    assert predictor.vector2model(np.array([0, 0, 1])) == {0: 'c'}


def test_mlp_predictor_learns_without_mmdet():
    from mmrazor.models.task_modules.predictor.handler import mlp_handler

    torch.manual_seed(0)
    handler = TASK_UTILS.build(
        dict(type='mmrazor.MLPHandler', epochs=60, data_split_ratio=0.8)
    )
    inputs = np.random.RandomState(0).rand(20, 4)
    handler.fit(inputs, inputs.sum(1))
    error = np.abs(handler.predict(inputs).ravel() - inputs.sum(1)).mean()
    assert error < np.abs(inputs.sum(1) - inputs.sum(1).mean()).mean()
    # That of MMDetection, where it is installed, stays.
    stand_in = type('Handler', (), {})()
    stand_in.SmoothL1Loss = nn.L1Loss
    patches.replace_smooth_l1_loss(stand_in)
    assert stand_in.SmoothL1Loss is nn.L1Loss
    assert mlp_handler.SmoothL1Loss.__name__ == 'SmoothL1Loss'
