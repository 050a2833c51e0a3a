"""Networks keep the weights that they bring."""

import copy
import logging

import pytest
import torch
from hooked_networks import TinyClassifier, randomize
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from torch import nn

from mmdskd.utils.own_weights import find_own_weights, is_pretrained
from mmdskd.utils.state_dict import find_tensors

STOCK = 'mmrazor.SingleTeacherDistill'
FROZEN = 'mmdskd.FrozenTeacherDistill'


class Foreign(nn.Sequential):
    """Of a library: MMEngine calls its init_weights."""

    def init_weights(self):
        for parameter in self.parameters():
            nn.init.constant_(parameter, 7)


@MODELS.register_module()
class LoadingClassifier(TinyClassifier):
    """Loads weights when it is built, but for its last layer."""

    def __init__(self, file=None, **kwargs):
        super().__init__(**kwargs)
        self.model = Foreign(*self.model)
        if file is not None:
            load_checkpoint(self.model, file)

    def init_weights(self):
        super().init_weights()
        nn.init.constant_(self.fc.weight, 5)


@pytest.fixture
def file(tmp_path):
    path = str(tmp_path / 'weights.pth')
    network = randomize(LoadingClassifier(), 3)
    torch.save(network.model.state_dict(), path)
    return path


def build(kind, student, teacher, **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type=kind,
                _scope_='mmrazor',
                architecture=student,
                teacher=teacher,
                distiller=dict(type='ConfigurableDistiller'),
                **kwargs,
            )
        )


def is_loaded(network, file):
    weights = torch.load(file, weights_only=True)
    ours = network.model.state_dict()
    return all(torch.equal(ours[name], weights[name]) for name in weights)


@pytest.mark.parametrize('kind', [STOCK, FROZEN])
def test_weights_of_the_constructor_stay(kind, file, caplog):
    loading = dict(type='mmengine.LoadingClassifier', file=file)
    with caplog.at_level(logging.INFO, logger='mmengine'):
        algorithm = build(kind, loading, dict(loading))
        algorithm.init_weights()
    for network in (algorithm.architecture, algorithm.teacher):
        assert is_loaded(network, file)
        # What was not loaded is initialised.
        assert (network.fc.weight == 5).all()


@pytest.mark.parametrize('kind', [STOCK, FROZEN])
def test_networks_without_weights_are_initialised(kind):
    fresh = dict(type='mmengine.LoadingClassifier')
    algorithm = build(kind, fresh, dict(fresh))
    algorithm.init_weights()
    for network in (algorithm.architecture, algorithm.teacher):
        assert (network.model[2].weight == 7).all()
        assert (network.fc.weight == 5).all()


@pytest.mark.parametrize('kind', [STOCK, FROZEN])
def test_built_teacher_stays(kind):
    teacher = randomize(LoadingClassifier(), 4)
    expected = copy.deepcopy(teacher.state_dict())
    algorithm = build(kind, dict(type='mmengine.LoadingClassifier'), teacher)
    algorithm.init_weights()
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_initialisation_draws_the_same_numbers(file):
    """Looking for weights costs the student none of its own."""
    draws = []
    for given in (file, None):
        torch.manual_seed(0)
        build(
            FROZEN,
            dict(type='mmengine.TinyClassifier'),
            dict(type='mmengine.LoadingClassifier', file=given),
        ).init_weights()
        draws.append(torch.rand(1))
    assert draws[0] == draws[1]


def resnet(depth=8, **kwargs):
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='mmdskd.CIFARResNet', depth=depth, in_channels=1, **kwargs
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
    )


def test_weights_of_a_part(tmp_path):
    path = str(tmp_path / 'teacher.pth')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        saved = randomize(MODELS.build(Config(resnet())), 1)
    torch.save(dict(state_dict=saved.state_dict()), path)
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    algorithm = build(FROZEN, resnet(), resnet(init_cfg=init_cfg))
    ours = find_tensors(algorithm.teacher.backbone)
    for name, tensor in find_tensors(saved.backbone).items():
        assert torch.equal(ours[name], tensor), name


def test_the_log_says_what_is_random(file, monkeypatch):
    from mmdskd.models.utils import teacher_weights

    lines = []
    monkeypatch.setattr(
        teacher_weights,
        'print_log',
        lambda line, level, **kwargs: lines.append((level, line)),
    )
    student = dict(type='mmengine.TinyClassifier')
    build(FROZEN, student, randomize(TinyClassifier(), 1))
    assert lines == []
    build(FROZEN, student, dict(type='mmengine.TinyClassifier'))
    build(FROZEN, student, dict(type='mmengine.LoadingClassifier', file=file))
    random, partly = lines
    assert random == (
        logging.INFO,
        'The teacher brings no weights for model.2.weight, fc.weight: without '
        'model.teacher_ckpt, they are random.',
    )
    # Such as a network of timm with another num_classes.
    assert partly[0] == logging.WARNING
    assert partly[1].startswith(
        'The teacher brings no weights for fc.weight: without '
        'model.teacher_ckpt, they are random. If they are of its last layer, '
        'its logits are noise. Fine-tune the teacher on the data of the '
        'student first: head.num_classes=... and '
    )


def test_a_position_embedding_of_sines_is_no_loaded_weight():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Module()
            self.part.sines = nn.Parameter(
                torch.arange(9.0).sin().reshape(3, 3), requires_grad=False
            )
            self.part.layer = nn.Linear(4, 4)

    own = find_own_weights(Network(), Network)
    assert own.tensors == {}
    assert own.random == ['part.layer.weight']


@pytest.mark.parametrize(
    'init_cfg, expected',
    [
        (None, False),
        (dict(type='Kaiming'), False),
        (dict(type='Pretrained', checkpoint='a'), True),
        ([dict(type='Kaiming'), dict(type='PretrainedInit')], True),
    ],
)
def test_configs_that_name_a_checkpoint(init_cfg, expected):
    assert is_pretrained(init_cfg) == expected


def test_checkpoint_that_loads_nothing_is_refused(tmp_path):
    path = str(tmp_path / 'student.pth')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = MODELS.build(Config(resnet()))
    weights = plain.state_dict()
    torch.save(
        dict(state_dict={f'architecture.{k}': v for k, v in weights.items()}),
        path,
    )
    for model in (
        dict(resnet(), init_cfg=dict(type='Pretrained', checkpoint=path)),
        resnet(init_cfg=dict(type='Pretrained', checkpoint=path)),
    ):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            network = MODELS.build(Config(model))
        with pytest.raises(
            ValueError,
            match=r'init_cfg should load weights, but .* holds none of the '
            r"\d+ tensors of .*Set prefix='architecture",
        ):
            network.init_weights()
    torch.save(dict(state_dict=weights), path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(
            Config(
                dict(
                    resnet(), init_cfg=dict(type='Pretrained', checkpoint=path)
                )
            )
        )
    network.init_weights()
    assert torch.equal(network.head.fc.weight, plain.head.fc.weight)


def test_timm_keeps_what_it_has_loaded(tmp_path):
    timm = pytest.importorskip('timm')
    path = str(tmp_path / 'resnet10t.pth')
    kwargs = dict(model_name='resnet10t', num_classes=10, in_chans=1)
    saved = timm.create_model(**kwargs)
    randomize(saved, 1)
    torch.save(saved.state_dict(), path)
    config = dict(
        type='TimmClassifier',
        _scope_='mmpretrain',
        checkpoint_path=path,
        **kwargs,
    )
    for kind in (STOCK, FROZEN):
        algorithm = build(kind, dict(config), dict(config))
        algorithm.init_weights()
        for network in (algorithm.architecture, algorithm.teacher):
            ours = network.model.state_dict()
            for name, value in saved.state_dict().items():
                assert torch.equal(ours[name], value), name
