import re

import pytest
from mmengine.registry import MODELS

from mmdskd.engine.checks.label_check import check_labels
from mmdskd.engine.checks.multi_label_check import check_multi_label

BINARY = dict(type='mmdskd.BinaryKLDivergence', tau=1)
BCE = dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True)


@pytest.fixture
def check(dskd_config):
    """Check a distillation of several labels with other losses."""

    def run(
        roles=('architecture', 'teacher'),
        arguments=('preds_S', 'preds_T'),
        without=None,
        **losses,
    ):
        model = dskd_config.model
        for role, channels in (('architecture', 16), ('teacher', 32)):
            if role in roles:
                model[role].head = dict(
                    type='MultiLabelLinearClsHead',
                    num_classes=10,
                    in_channels=channels,
                )
        model.distiller.distill_losses.loss_kd = losses.pop('kd', BINARY)
        losses.setdefault('logit_loss', BINARY)
        for name, loss in losses.items():
            model.distiller.distill_losses.loss_dskd[name] = loss
        mappings = model.distiller.loss_forward_mappings
        mappings.loss_kd = dict(zip(arguments, mappings.loss_kd.values()))
        if model.distiller.distill_losses.loss_kd.type in ('DKDLoss', 'WSLD'):
            mappings.loss_kd.gt_labels = mappings.loss_dskd.gt_labels
        if without:
            del model.distiller.distill_losses[without], mappings[without]
        check_multi_label(MODELS.build(model))

    return run


def test_losses_of_each_class_pass(check):
    check(label_loss=BCE)


def test_one_label_passes(dskd_config):
    check_multi_label(MODELS.build(dskd_config.model))


def test_no_distillation_passes(dskd_config):
    check_multi_label(MODELS.build(dskd_config.model.architecture))


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='KLDivergence', tau=4),
        dict(type='mmdskd.StandardizedKLDivergence'),
        dict(type='DKDLoss'),
        dict(type='DISTLoss'),
        dict(type='WSLD', num_classes=10),
        dict(type='KDSoftCELoss'),
        dict(type='CrossEntropyLoss'),  # of MMRazor: takes the largest class
    ],
)
@pytest.mark.parametrize('place', ['loss_kd', 'loss_dskd.logit_loss'])
def test_losses_by_softmax_are_refused(check, loss, place):
    name = loss['type'].rpartition('.')[2]
    arguments = dict(
        DISTLoss=('logits_S', 'logits_T'), WSLD=('student', 'teacher')
    ).get(name, ('preds_S', 'preds_T'))
    with pytest.raises(ValueError) as error:
        if place == 'loss_kd':
            check(arguments=arguments, kd=loss)
        else:
            check(logit_loss=loss)
    assert str(error.value) == (
        f'model.distiller.distill_losses.{place} should compare each class '
        'by itself, as MultiLabelLinearClsHead gives several labels per '
        f'image, but {name} compares them by a softmax: take '
        "dict(type='mmdskd.BinaryKLDivergence', tau=1)"
    )


@pytest.mark.parametrize(
    'loss', ['mmpretrain.CrossEntropyLoss', 'mmpretrain.LabelSmoothLoss']
)
def test_labels_by_softmax_are_refused(check, loss):
    cfg = dict(type=loss)
    if loss.endswith('SmoothLoss'):
        cfg.update(label_smooth_val=0.1, num_classes=10)
    with pytest.raises(
        ValueError,
        match=re.escape(
            f'loss_dskd.label_loss should compare each class by itself, as '
            'MultiLabelLinearClsHead gives several labels per image, but '
            f'{loss.rpartition(".")[2]} compares them by a softmax: take '
            "dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True)"
        ),
    ):
        check(label_loss=cfg)


def test_smoothed_labels_in_their_form_for_several(check):
    check(
        label_loss=dict(
            type='mmpretrain.LabelSmoothLoss',
            label_smooth_val=0.1,
            num_classes=10,
            mode='multi_label',
        )
    )


def test_a_loss_of_weight_0_teaches_nothing(check):
    check(kd=dict(type='KLDivergence', loss_weight=0.0))


@pytest.mark.parametrize(
    'role, message',
    [
        (
            'architecture',
            'loss_kd should compare heads of one kind, but preds_S is of a '
            'MultiLabelLinearClsHead with several labels, preds_T is of a '
            'LinearClsHead with one label per image: take a teacher that was '
            'made for the same data',
        ),
        ('teacher', 'preds_S is of a LinearClsHead with one label, preds_T'),
    ],
)
def test_heads_of_two_kinds_are_refused(check, role, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check([role])


def test_heads_of_two_kinds_in_the_branches_alone(check):
    """Logits of the teacher against those of heads that are the student's."""
    with pytest.raises(
        ValueError,
        match='loss_dskd should compare heads of one kind, but preds_T is of '
        'a LinearClsHead with one label, the student is of a '
        'MultiLabelLinearClsHead with several labels per image',
    ):
        check(['architecture'], without='loss_kd')


def test_features_of_a_teacher_of_one_label_pass(check, dskd_config):
    """A softmax over the channels of a feature is none over classes."""
    distiller = dskd_config.model.distiller
    distiller.student_recorders.feat = dict(
        type='ModuleOutputs', source='backbone.layer3'
    )
    del distiller.distill_losses['loss_dskd']
    del distiller.loss_forward_mappings['loss_dskd']
    check_features = dict(
        preds_S=dict(from_student=True, recorder='feat'),
        preds_T=dict(from_student=False, recorder='feat'),
    )
    distiller.loss_forward_mappings.loss_kd = check_features
    distiller.distill_losses.loss_kd = dict(type='KLDivergence')
    dskd_config.model.architecture.head = dict(
        type='MultiLabelLinearClsHead', num_classes=10, in_channels=16
    )
    check_multi_label(MODELS.build(dskd_config.model))


def test_a_loss_of_several_labels_for_one_is_told(dskd_config, listen):
    """It trains, and may be meant."""
    losses = dskd_config.model.distiller.distill_losses
    losses.loss_kd = dict(BINARY, loss_weight=0)
    model = MODELS.build(dskd_config.model)
    logged = listen()
    check_multi_label(model)
    assert logged == []
    losses.loss_dskd.logit_loss = BINARY
    model = MODELS.build(dskd_config.model)
    check_multi_label(model)
    (line,) = logged
    assert line == (
        'WARNING: model.distiller.distill_losses.loss_dskd: '
        'BinaryKLDivergence compares each class by itself, for several labels '
        'per image, but LinearClsHead gives one: KLDivergence is the loss for '
        'that, unless it is meant.'
    )


@pytest.mark.parametrize('several', [True, False])
def test_a_head_of_several_labels_for_one_is_told(
    dskd_config, build_runner, monkeypatch, several
):
    student = dskd_config.model.architecture
    if several:
        student.head = dict(
            type='MultiLabelLinearClsHead', num_classes=10, in_channels=16
        )
    dskd_config.model = student
    dskd_config.data_preprocessor = dict(mean=[77.7], std=[33.3])
    dskd_config.custom_hooks = []
    runner = build_runner(dskd_config)
    found = []
    monkeypatch.setattr(runner.logger, 'warning', found.append)
    check_labels(runner)
    message = (
        'train_dataloader.dataset (Digits) has one label per image, but '
        'MultiLabelLinearClsHead learns each class by itself, for several: '
        'LinearClsHead is the head for that, unless it is meant.'
    )
    assert found == [message] * several
