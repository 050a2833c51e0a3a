import copy
import pickle

import pytest
import torch
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmrazor.registry import MODELS
from teacher_helpers import (
    FROZEN,
    STOCK,
    assert_same_losses,
    count_calls,
    losses_of,
    make_batch,
    make_teacher,
    recorded,
)
from torch import nn

from mmdskd.models.algorithms import FrozenTeacherDistill
from mmdskd.utils import load_checkpoint_file


@pytest.mark.parametrize(
    'changes, tolerance',
    [
        (dict(), 1e-4),
        (dict(teacher_module_inplace=True), 1e-4),
        (dict(teacher_fold_bn=True), 1e-3),
        (dict(teacher_channels_last=True), 1e-3),
        (dict(teacher_fold_bn=True, teacher_channels_last=True), 1e-3),
    ],
)
def test_losses_are_those_of_the_stock_algorithm(build, changes, tolerance):
    expected = losses_of(build(type=STOCK))
    assert_same_losses(
        losses_of(build(type=FROZEN, **changes)), expected, tolerance
    )


def test_teacher_with_dropout_is_in_eval(build):
    """Two forwards of the teacher agree, and so its modules say."""
    head = dict(
        _delete_=True,
        type='mmpretrain.StackedLinearClsHead',
        num_classes=10,
        in_channels=32,
        mid_channels=[16],
        dropout_rate=0.5,
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
    )
    algorithm = build(
        teacher__head=head,
        teacher_ckpt=None,
        distiller__teacher_recorders__logits__source='head.layers.1.fc',
    )
    assert any(isinstance(m, nn.Dropout) for m in algorithm.teacher.modules())
    for mode in (True, False, True):
        assert algorithm.train(mode) is algorithm
        assert algorithm.architecture.training == mode
        assert not any(m.training for m in algorithm.teacher.modules())
    first, second = (recorded(algorithm)['logits'][0] for _ in range(2))
    assert torch.equal(first, second)


def test_recorded_tensors_need_no_gradient_and_are_let_go(build):
    algorithm = build()
    data = recorded(algorithm)
    assert not any(t.requires_grad for [t] in data.values())
    for manager in (
        algorithm.distiller.student_recorders,
        algorithm.distiller.teacher_recorders,
    ):
        for recorder in manager.recorders.values():
            assert recorder.data_buffer == []


def test_layer_wise_decay_of_the_learning_rate(build):
    algorithm = build()
    with pytest.raises(
        NotImplementedError, match="doesn't support `get_layer_depth`"
    ):
        algorithm.get_layer_depth('architecture.backbone.conv1.weight')
    student = build_vit()
    algorithm.architecture = student
    depths = {
        name: algorithm.get_layer_depth(name)
        for name in (
            'architecture.backbone.patch_embed.projection.weight',
            'architecture.backbone.layers.1.ln1.weight',
            'architecture.head.layers.head.weight',
            'distiller.connectors.heads.heads.0.classifier.weight',
        )
    }
    # Stem, two blocks, and what comes after them.
    assert list(depths.values()) == [(0, 4), (2, 4), (3, 4), (3, 4)]
    algorithm.architecture = torch.nn.Linear(2, 2)
    with pytest.raises(NotImplementedError, match='but Linear has none'):
        algorithm.get_layer_depth('architecture.weight')


def build_vit():
    return MODELS.build(
        dict(
            type='ImageClassifier',
            _scope_='mmpretrain',
            backbone=dict(
                type='VisionTransformer',
                arch=dict(
                    embed_dims=8,
                    num_layers=2,
                    num_heads=2,
                    feedforward_channels=8,
                ),
                img_size=16,
                patch_size=4,
            ),
            head=dict(
                type='VisionTransformerClsHead', num_classes=10, in_channels=8
            ),
        )
    )


def test_stopped_distillation_runs_no_teacher(build):
    algorithm = build()
    algorithm.distillation_stopped = True
    calls = count_calls(algorithm.teacher, 'backbone')
    losses = algorithm(*make_batch(), mode='loss')
    assert calls == []
    assert list(losses) == ['student.loss']


@pytest.mark.parametrize('trainable', [True, False])
def test_student_loss_that_is_left_out(build, trainable):
    algorithm = build(
        calculate_student_loss=False, student_trainable=trainable
    )
    losses = algorithm(*make_batch(), mode='loss')
    assert set(losses) == {'distill.loss_kd', 'distill.loss_dskd'}
    losses['distill.loss_dskd'].backward()
    assert (
        algorithm.architecture.backbone.conv1.weight.grad is not None
    ) == trainable


@pytest.mark.parametrize(
    'name, value', [('teacher_trainable', True), ('teacher_norm_eval', False)]
)
def test_teacher_can_not_be_trained(build, name, value):
    with pytest.raises(
        ValueError,
        match=f'{name} of FrozenTeacherDistill should be {not value}, but '
        f'got {value}: .* mmrazor.SingleTeacherDistill',
    ):
        build(**{name: value})


def test_teacher_is_no_child(build):
    algorithm = build()
    assert not any('teacher.' in name for name in algorithm.state_dict())
    ours = {id(p) for p in algorithm.teacher.parameters()}
    assert not ours & {id(p) for p in algorithm.parameters()}
    assert not any(p.requires_grad for p in algorithm.teacher.parameters())
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=1)
    assert not ours & {id(p) for p in optimizer.param_groups[0]['params']}


def test_teacher_moves_with_the_algorithm(build):
    algorithm = build()
    parts = [algorithm.architecture, algorithm.distiller, algorithm.teacher]

    def types():
        return {p.dtype for part in parts for p in part.parameters()}

    algorithm.double()
    assert types() == {torch.float64}
    algorithm.to(torch.float32)
    assert types() == {torch.float32}
    algorithm.to(torch.device('meta'))
    assert {p.device.type for part in parts for p in part.parameters()} == {
        'meta'
    }
    assert algorithm.teacher.backbone.bn1.running_mean.is_meta


def test_copies_share_the_teacher(build):
    algorithm = build()
    losses_of(algorithm, 1)
    copied = copy.deepcopy(algorithm)
    assert copied.teacher is algorithm.teacher
    assert copied.architecture is not algorithm.architecture
    assert_same_losses(losses_of(copied, 2), losses_of(algorithm, 2), 1e-4)
    # An averaged model may live elsewhere.
    copied.to(torch.device('meta'))
    assert not algorithm.teacher.backbone.conv1.weight.is_meta


def test_pickle(build):
    algorithm = build()
    loaded = pickle.loads(pickle.dumps(algorithm))
    assert loaded.teacher is not algorithm.teacher
    assert_same_losses(losses_of(loaded), losses_of(algorithm), 1e-4)


@pytest.mark.parametrize(
    'kind', ['Pretrained', PretrainedInit, 'mmengine.model.PretrainedInit']
)
def test_pretrained_teacher_is_loaded_strictly(build, config, kind):
    path = config.model.teacher_ckpt
    expected = load_checkpoint_file(path)['state_dict']
    options = dict(
        teacher_ckpt=None, teacher__init_cfg=dict(type=kind, checkpoint=path)
    )
    algorithm = build(**options)
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, expected[name]), name
    torch.save(dict(state_dict={'head.fc.bias': torch.zeros(10)}), path)
    with pytest.raises(ValueError, match='teacher_ckpt should hold .*missing'):
        build(**options)


def test_part_of_the_teacher_is_pretrained(build, config):
    path = config.model.teacher_ckpt
    expected = load_checkpoint_file(path)['state_dict']
    algorithm = build(
        teacher_ckpt=None,
        teacher__backbone__init_cfg=dict(
            type='Pretrained', checkpoint=path, prefix='backbone.'
        ),
    )
    for name, value in algorithm.teacher.state_dict().items():
        is_same = torch.equal(value, expected[name])
        assert is_same or not name.startswith('backbone.'), name


def test_built_teacher_keeps_its_weights(build, config):
    teacher = make_teacher(config.model.teacher)
    expected = copy.deepcopy(teacher.state_dict())
    cfg = copy.deepcopy(config.model.to_dict())
    cfg.update(teacher=teacher, teacher_ckpt=None)
    algorithm = MODELS.build(cfg)
    algorithm.init_weights()
    for name, value in algorithm.teacher.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_random_teacher_draws_no_numbers_of_the_student(build):
    """The student starts alike, whatever its teacher."""
    first = build().architecture.state_dict()
    second = build(teacher_ckpt=None).architecture.state_dict()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_every_scope_finds_it():
    for registry in (MMENGINE_MODELS, MMPRETRAIN_MODELS, MODELS):
        assert registry.get(FROZEN) is FrozenTeacherDistill


@pytest.mark.parametrize(
    'name, value',
    [
        ('teacher_fold_bn', 'no'),
        ('teacher_channels_last', 1),
        ('teacher_autocast_dtype', 'int8'),
        ('teacher_compile', 'yes'),
    ],
)
def test_speedups_are_checked_when_it_is_built(build, name, value):
    with pytest.raises(ValueError, match=f'{name} should .* got {value!r}'):
        build(**{name: value})
