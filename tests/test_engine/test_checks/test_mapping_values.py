"""What only tensors show is found before the first iteration."""

import copy
import random

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmdskd.engine.checks.dry_forward import left_as_it_was
from mmdskd.engine.checks.mapping_values import check_mapping_values
from mmdskd.engine.checks.run_check import check_before_training

MAPPINGS = 'model.distiller.loss_forward_mappings'
LOGITS_S = dict(from_student=True, recorder='logits')
LOGITS_T = dict(from_student=False, recorder='logits')
LABELS = dict(from_student=True, recorder='gt_labels', data_idx=1)


@MODELS.register_module()
class Detached(nn.Module):
    def forward(self, preds_S, preds_T):
        return (preds_S.detach() - preds_T).abs().mean()


def distiller(**changes):
    return {
        f'model.distiller.{key.replace("__", ".")}': value
        for key, value in changes.items()
    }


def mapping(**changes):
    return distiller(
        **{f'loss_forward_mappings__{k}': v for k, v in changes.items()}
    )


def loss(config, **inputs):
    return distiller(
        distill_losses__loss_kd=dict(_delete_=True, **config),
        loss_forward_mappings__loss_kd=dict(_delete_=True, **inputs),
    )


TABLE = [
    # Indices out of range.
    (
        mapping(loss_kd__preds_T__record_idx=1),
        f'{MAPPINGS}.loss_kd.preds_T.record_idx should be in 0 to 0, as '
        "'head.fc' runs 1 time(s) in a forward, but got 1",
    ),
    (
        mapping(loss_kd__preds_S__record_idx=-2),
        f'{MAPPINGS}.loss_kd.preds_S.record_idx should be in 0 to 0',
    ),
    (
        mapping(loss_dskd__gt_labels__data_idx=2),
        f'{MAPPINGS}.loss_dskd.gt_labels.data_idx should be in 0 to 1, as '
        "'head.loss_module' gives a tuple of 2 (float32 of (2, 10), int64 of "
        '(2,)), but got 2',
    ),
    (
        mapping(loss_kd__preds_T__data_idx=0),
        f'{MAPPINGS}.loss_kd.preds_T.data_idx should be left out, as '
        "'head.fc' gives float32 of (2, 10) and not several values, but got 0",
    ),
    (
        mapping(loss_dskd__branches__data_idx=2),
        f'{MAPPINGS}.loss_dskd.branches.data_idx should be in 0 to 1',
    ),
    (
        mapping(loss_dskd__branches__connector_idx=2),
        f'{MAPPINGS}.loss_dskd.branches.connector_idx should be in 0 to 1, '
        "as 'heads' gives a list of 2",
    ),
    (
        distiller(
            teacher_recorders__feat__source='head.loss_module',
            teacher_recorders__feat__type='ModuleInputs',
            loss_forward_mappings__loss_dskd__feat_T__data_idx=7,
        ),
        f'{MAPPINGS}.loss_dskd.feat_T.data_idx should be in 0 to 1',
    ),
    # Labels taken for logits, and the other way round.
    (
        mapping(loss_dskd__gt_labels__data_idx=0),
        f'{MAPPINGS}.loss_dskd.gt_labels.data_idx should pick the labels of '
        "what 'head.loss_module' gets, but data_idx=0 gives float32 of "
        '(2, 10)',
    ),
    (
        mapping(loss_dskd__gt_labels__data_idx=None),
        f'{MAPPINGS}.loss_dskd.gt_labels.data_idx should pick the labels of '
        "what 'head.loss_module' gets, but 'head.loss_module' gives a tuple "
        'of 2 (float32 of (2, 10), int64 of (2,)); set data_idx=1',
    ),
    (
        mapping(loss_dskd__gt_labels=dict(_delete_=True, **LOGITS_S)),
        f'{MAPPINGS}.loss_dskd.gt_labels.recorder should record the labels, '
        "but 'head.fc' gives float32 of (2, 10)",
    ),
    (
        mapping(loss_kd__preds_S=LABELS),
        f'{MAPPINGS}.loss_kd.preds_S.data_idx should pick logits or features '
        "of what 'head.loss_module' gets, but data_idx=1 gives int64 of (2,)",
    ),
    (
        loss(
            dict(type='mmpretrain.CrossEntropyLoss'),
            cls_score=LABELS,
            label=LABELS,
        ),
        f'{MAPPINGS}.loss_kd.cls_score.data_idx should pick logits or',
    ),
    (
        loss(
            dict(type='mmpretrain.CrossEntropyLoss'),
            cls_score=LOGITS_S,
            label=dict(LABELS, data_idx=0),
        ),
        f'{MAPPINGS}.loss_kd.label.data_idx should pick the labels',
    ),
    (
        mapping(loss_kd__preds_S__recorder='gt_labels'),
        'model.distiller.distill_losses.loss_kd (KLDivergence) should fit its '
        'inputs, but fails with TypeError: unsupported operand type(s) for '
        "/: 'tuple' and 'float'. It gets preds_S a tuple of 2 (float32 of "
        "(2, 10), int64 of (2,)) from 'head.loss_module', preds_T float32 of "
        "(2, 10) from 'head.fc'; see loss_forward_mappings.loss_kd, where "
        'data_idx picks one of several',
    ),
    # All of one network, by arguments whose names don't tell.
    (
        loss(dict(type='torch.nn.MSELoss'), input=LOGITS_S, target=LOGITS_S),
        f'{MAPPINGS}.loss_kd.target.from_student should be False, as all that '
        'the loss compares would be of the student otherwise, but got True',
    ),
    # Shapes.
    (
        mapping(loss_kd__preds_T__recorder='feat'),
        f'{MAPPINGS}.loss_kd should give tensors of one shape to '
        "KLDivergence, but gives preds_S (2, 10) from 'head.fc', preds_T "
        "(2, 32, 4, 4) from 'backbone.layer3'",
    ),
    (
        loss(
            dict(type='torch.nn.SmoothL1Loss'),
            input=LOGITS_S,
            target=dict(from_student=False, recorder='feat'),
        ),
        'loss_kd should give tensors of one shape to SmoothL1Loss',
    ),
    (
        mapping(loss_dskd__feat_T__recorder='logits'),
        'model.distiller.distill_losses.loss_dskd (DSKDLoss) should fit its '
        'inputs, but fails with ValueError: Branch 0: expected a feature of '
        "the shape of the teacher's, (2, 10), but got (2, 32, 4, 4)",
    ),
    (
        mapping(loss_dskd__preds_T__recorder='feat'),
        'Branch 0: expected logits of the shape',
    ),
    (
        distiller(teacher_recorders__feat__source='backbone.layer2'),
        'Branch 0: expected a feature of the shape',
    ),
    (
        distiller(connectors__heads__strides=[4, 4]),
        'Branch 1: expected a feature of the shape',
    ),
    (
        distiller(connectors__heads__in_channels=[4, 4]),
        f"{MAPPINGS}.loss_dskd.branches.connector: 'heads' (DSKDConnector) "
        "should fit what 'backbone.layer1, backbone.layer2' gives, a list of "
        '2 (float32 of (2, 4, 16, 16), float32 of (2, 8, 8, 8)), but fails '
        'with ',
    ),
    # What is never recorded.
    (
        distiller(
            teacher_recorders__feat__source='backbone',
            teacher_recorders__feat__type='ModuleInputs',
            loss_forward_mappings__loss_dskd__feat_T__data_idx=0,
            loss_forward_mappings__loss_dskd__feat_T__record_idx=1,
        ),
        f'{MAPPINGS}.loss_dskd.feat_T.record_idx should be in 0 to 0',
    ),
    (
        distiller(student_recorders__logits__source='data_preprocessor'),
        f"{MAPPINGS}.loss_kd.preds_S: recorder 'logits' should record "
        "'data_preprocessor' of the student, but it does not run in a forward",
    ),
    # What trains nothing.
    (
        loss(dict(type='Detached'), preds_S=LOGITS_S, preds_T=LOGITS_T),
        'model.distiller.distill_losses.loss_kd should train the student or a '
        'connector, but no parameter that is trained has a part in it: '
        'frozen_stages, requires_grad=False, or a lr_mult of 0',
    ),
    (
        {
            'model.student_trainable': False,
            'model.calculate_student_loss': False,
        },
        'loss_kd should train the student or a connector, but no parameter '
        'that is trained has a part in it: student_trainable=False',
    ),
]


@pytest.mark.parametrize(
    'algorithm',
    ['mmdskd.FrozenTeacherDistill', 'mmrazor.SingleTeacherDistill'],
)
@pytest.mark.parametrize('changes, message', TABLE)
def test_what_is_wrong_is_reported(check_runner, algorithm, changes, message):
    with pytest.raises(ValueError) as error:
        check_runner({'model.type': algorithm, **changes})
    assert message in str(error.value)


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'model.type': 'mmrazor.SingleTeacherDistill'},
        mapping(loss_kd__preds_T__record_idx=-1),
        mapping(loss_dskd__gt_labels__data_idx=-1),
        mapping(loss_kd__preds_S=dict(LABELS, data_idx=0)),
        loss(dict(type='torch.nn.MSELoss'), input=LOGITS_S, target=LOGITS_T),
        loss(
            dict(type='mmpretrain.CrossEntropyLoss'),
            cls_score=LOGITS_S,
            label=LABELS,
        ),
        # Relations of images: the numbers of channels may differ.
        loss(
            dict(type='DistanceWiseRKD'),
            preds_S=LOGITS_S,
            preds_T=dict(from_student=False, recorder='feat'),
        ),
        distiller(distill_losses__loss_dskd__schedule='linear'),
        {'train_dataloader.batch_size': 1},
    ],
)
def test_what_is_right_passes(check_runner, changes):
    check_runner(changes)


def state(runner):
    model = runner.model
    return (
        copy.deepcopy(dict(model.state_dict())),
        copy.deepcopy(dict(model.teacher.state_dict())),
        {name: m.training for name, m in model.named_modules()},
        {name: sorted(vars(m)) for name, m in model.named_modules()},
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
    )


@pytest.mark.parametrize(
    'algorithm',
    ['mmdskd.FrozenTeacherDistill', 'mmrazor.SingleTeacherDistill'],
)
def test_nothing_is_changed(run_config, build_runner, algorithm):
    run_config.model.update(
        type=algorithm,
        data_preprocessor=dict(
            type='mmdskd.AugmentingDataPreprocessor',
            augments=[dict(type='mmdskd.BatchRandomFlip')],
            mean=[77.7],
            std=[33.3],
            num_classes=10,
            batch_augments=dict(augments=dict(type='Mixup', alpha=1.0)),
        ),
    )
    run_config.train_dataloader.dataset.pipeline.insert(
        0, dict(type='mmpretrain.RandomFlip', prob=0.5)
    )
    runner = build_runner(run_config)
    runner.train_loop, runner.val_loop  # noqa: B018
    before = state(runner)
    check_before_training(runner)
    after = state(runner)
    for ours, theirs in zip(before[:2], after[:2]):
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name
    assert before[2:4] == after[2:4]
    assert torch.equal(before[4], after[4])
    assert before[5:] == after[5:]
    model = runner.model
    for manager in (
        model.distiller.student_recorders,
        model.distiller.teacher_recorders,
    ):
        assert not any(r.data_buffer for r in manager.recorders.values())
    if algorithm == 'mmdskd.FrozenTeacherDistill':
        assert not model.teacher_forward.is_prepared
        assert model.teacher_forward.mode == 'loss'


def test_training_is_that_without_the_check(
    run_config, build_runner, monkeypatch
):
    weights = []
    for checked in (True, False):
        if not checked:
            monkeypatch.setattr(
                'mmdskd.engine.hooks.loss_weight_scheduler_hook.check_by_hook',
                lambda runner: None,
            )
        runner = build_runner(copy.deepcopy(run_config))
        runner.train()
        weights.append(runner.model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_attributes_and_buffers_are_set_back():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0
            self.register_buffer('sum', torch.zeros(1))

    model = Counter()
    buffer = model.sum
    with left_as_it_was(model):
        model.count += 1
        model.more = 1
        model.sum += 1
        model.sum = model.sum + 1
    assert model.count == 0
    assert not hasattr(model, 'more')
    assert model.sum is buffer
    assert model.sum.item() == 0


class WantsMany(nn.Identity):
    def forward(self, features):
        if self.training and len(features[-1]) < 5:
            raise RuntimeError('too few images')
        return features


def test_a_network_that_needs_more_images_gets_a_whole_batch(
    run_config, build_runner
):
    runner = build_runner(run_config)
    network = runner.model.architecture
    network.neck = nn.Sequential(WantsMany(), network.neck)
    check_mapping_values(runner)
    run_config.train_dataloader.batch_size = 2
    runner = build_runner(run_config)
    network = runner.model.architecture
    network.neck = nn.Sequential(WantsMany(), network.neck)
    with pytest.raises(RuntimeError, match='too few images'):
        check_mapping_values(runner)


@MODELS.register_module()
class LossOfMany(nn.Module):
    def forward(self, preds_S, preds_T):
        if len(preds_S) < 5:
            raise ValueError('too few images')
        return (preds_S - preds_T).abs().mean()


def test_a_loss_that_needs_more_images_gets_a_whole_batch(check_runner):
    changes = loss(dict(type='LossOfMany'), preds_S=LOGITS_S, preds_T=LOGITS_T)
    check_runner(changes)
    with pytest.raises(
        ValueError, match='fails with ValueError: too few images'
    ):
        check_runner({'train_dataloader.batch_size': 2})


def test_algorithms_of_unknown_steps_are_left_out(
    run_config, build_runner, monkeypatch
):
    runner = build_runner(run_config)
    kind = type(runner.model)
    monkeypatch.setattr(
        kind, 'loss', lambda self, *args: pytest.fail('was run')
    )
    runner.model.__class__ = type(
        'Own', (kind,), {'loss': lambda self, *args: {}}
    )
    check_mapping_values(runner)


@pytest.mark.parametrize(
    'stages, frozen', [(1, ['layer1']), (2, ['layer1', 'layer2'])]
)
def test_heads_on_frozen_layers_are_reported(
    run_config, build_runner, listen, stages, frozen
):
    run_config.model.architecture.backbone.frozen_stages = stages
    runner = build_runner(run_config)
    messages = listen()
    check_mapping_values(runner)
    warnings = [m for m in messages if 'teaches nothing' in m]
    assert warnings == [
        f"WARNING: loss_dskd on 'backbone.{name}' teaches nothing to the "
        f"student: no layer up to 'backbone.{name}' is trained "
        '(frozen_stages, requires_grad=False, or a lr_mult of 0). A head on '
        'it learns alone. Move it to a layer that is trained.'
        for name in frozen
    ]


def test_a_learning_rate_of_0_freezes_too(run_config, build_runner, listen):
    run_config.optim_wrapper.paramwise_cfg = dict(
        custom_keys={
            'architecture.backbone.layer1': dict(lr_mult=0),
            'architecture.backbone.conv1': dict(lr_mult=0),
            'architecture.backbone.bn1': dict(lr_mult=0),
        }
    )
    run_config.train_cfg.max_epochs = 1
    runner = build_runner(run_config)
    messages = listen()
    runner.train()
    [warning] = [m for m in messages if 'teaches nothing' in m]
    assert "loss_dskd on 'backbone.layer1'" in warning


def test_parameters_without_gradient_freeze_too(
    run_config, build_runner, listen
):
    runner = build_runner(run_config)
    backbone = runner.model.architecture.backbone
    for module in (backbone.conv1, backbone.bn1, backbone.layer1):
        module.requires_grad_(False)
    messages = listen()
    check_mapping_values(runner)
    [warning] = [m for m in messages if 'teaches nothing' in m]
    assert "loss_dskd on 'backbone.layer1'" in warning


def test_a_teacher_that_gives_nan_is_refused(run_config, build_runner):
    runner = build_runner(run_config)
    runner.model.teacher.head.fc.bias.data[0] = float('nan')
    with pytest.raises(
        ValueError,
        match=rf"{MAPPINGS}.loss_kd.preds_T: what 'head.fc' of the teacher "
        'gives should be finite, but has nan or inf for the first training',
    ):
        check_mapping_values(runner)
