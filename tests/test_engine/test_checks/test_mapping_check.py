"""What is wrong in the graph of a distiller is reported by its key."""

import copy

import pytest
from mmengine.registry import MODELS
from torch import nn

from mmdskd.engine.checks.distillation_check import check_distillation
from mmdskd.engine.checks.mapping_check import find_side
from mmdskd.engine.distillation_parts import find_distillers

MAPPINGS = 'model.distiller.loss_forward_mappings'
LOGITS_S = dict(from_student=True, recorder='logits')
LOGITS_T = dict(from_student=False, recorder='logits')
L2 = dict(type='L2Loss')


def mapping(**values):
    return {f'loss_forward_mappings.{key}': v for key, v in values.items()}


def test_the_config_itself_passes(check_model):
    check_model({})


@MODELS.register_module()
class AnyPair(nn.Module):
    def forward(self, first, second, extra=None, *, scale=1):
        return scale * (first - second).abs().mean()


TABLE = [
    # Names that are not there.
    (
        {'loss_forward_mappings.loss_kd.preds_T.recorder': 'logit'},
        f'{MAPPINGS}.loss_kd.preds_T.recorder should be one of the '
        "teacher_recorders (logits, feat), but got 'logit'; did you mean "
        "'logits'?",
    ),
    (
        {'loss_forward_mappings.loss_kd.preds_S.recorder': 'feat'},
        f'{MAPPINGS}.loss_kd.preds_S.recorder should be one of '
        'student_recorders (logits, shallow, gt_labels), as '
        "from_student=True, but got 'feat', which needs from_student=False",
    ),
    (
        {'loss_forward_mappings.loss_dskd.gt_labels.recorder': 'labels'},
        'loss_dskd.gt_labels.recorder should be one of the '
        "student_recorders (logits, shallow, gt_labels), but got 'labels'",
    ),
    (
        {'loss_forward_mappings.loss_dskd.branches.connector': 'head'},
        f'{MAPPINGS}.loss_dskd.branches.connector should be one of the '
        "connectors (heads), but got 'head'; did you mean 'heads'?",
    ),
    (
        {'loss_forward_mappings.loss_kdd': dict(preds_S=LOGITS_S)},
        f'{MAPPINGS} should name only the losses (loss_kd, loss_dskd), but '
        "got 'loss_kdd'; did you mean 'loss_kd' or 'loss_dskd'?",
    ),
    (
        {'loss_forward_mappings.loss_kd.pred_T': LOGITS_T},
        f'{MAPPINGS}.loss_kd should give what KLDivergence takes (preds_S, '
        "preds_T), but got 'pred_T'; did you mean 'preds_T' or 'preds_S'?",
    ),
    (
        {'loss_forward_mappings.loss_dskd.label': LOGITS_S},
        'loss_dskd should give what DSKDLoss takes (branches, preds_T, '
        "feat_T, gt_labels, preds_S, feat_S), but got 'label'",
    ),
    (
        {'loss_forward_mappings.loss_dskd.branches.conector': 'heads'},
        f'{MAPPINGS}.loss_dskd.branches should have only the keys (recorder, '
        'from_student, record_idx, data_idx, connector, connector_idx), but '
        "got 'conector'; did you mean 'connector'",
    ),
    (
        {'loss_forward_mappings.loss_dskd.feat_T.from_teacher': True},
        'loss_dskd.feat_T should have only the keys (recorder, from_student, '
        'record_idx, data_idx, connector, connector_idx), but got '
        "'from_teacher'",
    ),
    (
        {'teacher_recorders.feat.source': 'backbone.layr3'},
        'model.distiller.teacher_recorders.feat.source should be the name of '
        'a module of ImageClassifier (in data_preprocessor, backbone, neck, '
        "head), but got 'backbone.layr3'; did you mean 'backbone.layer3'",
    ),
    (
        {'student_recorders.gt_labels.source': 'head.loss'},
        'model.distiller.student_recorders.gt_labels.source should be the '
        'name of a module of ImageClassifier',
    ),
    (
        {'student_recorders.logits.source': 3},
        'logits.source should be the name of a module of ImageClassifier (in '
        'data_preprocessor, backbone, neck, head), but got 3',
    ),
    # What is left out.
    (
        mapping(**{'loss_kd.preds_T': dict(_delete_=True, recorder='logits')}),
        f"{MAPPINGS}.loss_kd.preds_T should have the key 'from_student' "
        '(True for the student, False for the teacher), but has only '
        'recorder',
    ),
    (
        mapping(**{'loss_dskd.feat_T': dict(_delete_=True, recorder='feat')}),
        "loss_dskd.feat_T should have the key 'from_student'",
    ),
    (
        mapping(**{'loss_kd.preds_S': dict(_delete_=True, from_student=True)}),
        f"{MAPPINGS}.loss_kd.preds_S should have the key 'recorder' (one of "
        'logits, shallow, gt_labels, logits, feat), but has only '
        'from_student',
    ),
    (
        mapping(loss_kd=dict(_delete_=True, preds_S=LOGITS_S)),
        f'{MAPPINGS}.loss_kd should give what KLDivergence needs (preds_S, '
        'preds_T), but preds_T is missing',
    ),
    (mapping(loss_kd=dict(_delete_=True)), 'but preds_S, preds_T is missing'),
    (
        mapping(
            loss_dskd=dict(
                _delete_=True,
                preds_T=LOGITS_T,
                feat_T=dict(from_student=False, recorder='feat'),
            )
        ),
        'loss_dskd should give what DSKDLoss needs (branches), but branches '
        'is missing',
    ),
    # Values of another type.
    (
        mapping(loss_kd=1),
        f'{MAPPINGS}.loss_kd should be a dict of the inputs of the loss, but '
        'got 1',
    ),
    (
        {'loss_forward_mappings': ['loss_kd']},
        f'{MAPPINGS} should be a dict of the inputs of each loss, but got '
        "['loss_kd']",
    ),
    (
        mapping(**{'loss_kd.preds_T': 'logits'}),
        f'{MAPPINGS}.loss_kd.preds_T should be a dict such as '
        "dict(from_student=True, recorder='logits'), but got 'logits'",
    ),
    (
        {'loss_forward_mappings.loss_kd.preds_T.from_student': 'False'},
        f'{MAPPINGS}.loss_kd.preds_T.from_student should be True or False, '
        "but got 'False'",
    ),
    (
        {'loss_forward_mappings.loss_kd.preds_T.from_student': 0},
        'preds_T.from_student should be True or False, but got 0',
    ),
    (
        {'loss_forward_mappings.loss_dskd.feat_T.from_student': None},
        'feat_T.from_student should be True or False, but got None',
    ),
    (
        {'loss_forward_mappings.loss_dskd.gt_labels.data_idx': '1'},
        "gt_labels.data_idx should be a whole number or None, but got '1'",
    ),
    (
        {'loss_forward_mappings.loss_dskd.gt_labels.data_idx': 1.0},
        'gt_labels.data_idx should be a whole number or None, but got 1.0',
    ),
    (
        {'loss_forward_mappings.loss_dskd.gt_labels.data_idx': True},
        'gt_labels.data_idx should be a whole number or None, but got True',
    ),
    (
        {'loss_forward_mappings.loss_kd.preds_S.record_idx': None},
        'preds_S.record_idx should be a whole number, but got None',
    ),
    (
        {'loss_forward_mappings.loss_dskd.branches.connector_idx': 'first'},
        'branches.connector_idx should be a whole number or None, but got '
        "'first'",
    ),
    (
        {'loss_forward_mappings.loss_dskd.branches.connector': ['heads']},
        'branches.connector should be one of the connectors (heads), but got '
        "['heads']",
    ),
    # Student and teacher mixed up.
    (
        {'loss_forward_mappings.loss_kd.preds_T.from_student': True},
        f'{MAPPINGS}.loss_kd.preds_T.from_student should be False, as preds_T '
        'of KLDivergence is what the teacher gives, but got True: the student '
        'would teach itself',
    ),
    (
        {'loss_forward_mappings.loss_kd.preds_S.from_student': False},
        f'{MAPPINGS}.loss_kd.preds_S.from_student should be True, as preds_S '
        'of KLDivergence is what the student gives, but got False: the '
        'student would learn nothing from it',
    ),
    (
        {'loss_forward_mappings.loss_dskd.preds_T.from_student': True},
        f'{MAPPINGS}.loss_dskd.preds_T.from_student should be False, as '
        'preds_T of DSKDLoss',
    ),
    (
        mapping(**{'loss_dskd.feat_T': LOGITS_S}),
        'loss_dskd.feat_T.from_student should be False',
    ),
    (
        {
            'distill_losses.loss_kd': dict(_delete_=True, type='DISTLoss'),
            'loss_forward_mappings.loss_kd': dict(
                _delete_=True, logits_S=LOGITS_S, logits_T=LOGITS_S
            ),
        },
        'loss_kd.logits_T.from_student should be False, as logits_T of '
        'DISTLoss',
    ),
    (
        {
            'distill_losses.loss_kd': dict(
                _delete_=True, type='WSLD', tau=2, num_classes=10
            ),
            'loss_forward_mappings.loss_kd': dict(
                _delete_=True,
                student=LOGITS_S,
                teacher=LOGITS_S,
                gt_labels=dict(
                    from_student=True, recorder='gt_labels', data_idx=1
                ),
            ),
        },
        'loss_kd.teacher.from_student should be False, as teacher of WSLD',
    ),
    (
        {
            'distill_losses.loss_kd': dict(_delete_=True, **L2),
            'loss_forward_mappings.loss_kd': dict(
                _delete_=True, s_feature=LOGITS_S, t_feature=LOGITS_S
            ),
        },
        'loss_kd.t_feature.from_student should be False, as t_feature of '
        'L2Loss',
    ),
    (
        {
            'distill_losses.loss_kd': dict(_delete_=True, **L2),
            'loss_forward_mappings.loss_kd': dict(
                _delete_=True, s_feature=LOGITS_T, t_feature=LOGITS_T
            ),
        },
        'loss_kd.s_feature.from_student should be True, as s_feature of '
        'L2Loss',
    ),
    (
        {
            'distill_losses.loss_kd': dict(_delete_=True, type='AnyPair'),
            'loss_forward_mappings.loss_kd': dict(
                _delete_=True, first=LOGITS_T, second=LOGITS_T
            ),
        },
        f'{MAPPINGS}.loss_kd should have an input with from_student=True, but '
        'all are of the teacher, which is frozen: nothing would learn from '
        'loss_kd',
    ),
    (
        {'loss_forward_mappings.loss_dskd.feat_T.connector': 'heads'},
        f"{MAPPINGS}.loss_dskd.feat_T.connector should not be 'heads': the "
        'heads of a DSKDConnector are on shallow layers of the student, and '
        "this input is the teacher's",
    ),
    (
        {'loss_forward_mappings.loss_dskd.gt_labels.connector': 'heads'},
        "gt_labels.connector should not be 'heads': the heads of a "
        'DSKDConnector are on shallow layers of the student, and this input '
        'is labels',
    ),
    # What nothing uses.
    (
        {'distill_losses.loss_other': L2},
        'model.distiller.distill_losses.loss_other should have its inputs in '
        f'{MAPPINGS}, but only loss_kd, loss_dskd has: it would never be '
        'computed. Add loss_forward_mappings.loss_other, or remove the loss',
    ),
    (
        {'loss_forward_mappings': None},
        'model.distiller.distill_losses.loss_kd should have its inputs in '
        f'{MAPPINGS}, but only nothing has',
    ),
    (
        {
            'connectors.more': dict(
                type='ConvModuleConnector', in_channel=1, out_channel=2
            )
        },
        'model.distiller.connectors.more should be the connector of an input '
        'in loss_forward_mappings, but no loss uses it: it would never learn. '
        "Write connector='more' there, or remove it",
    ),
]


@pytest.mark.parametrize(
    'algorithm',
    ['mmdskd.FrozenTeacherDistill', 'mmrazor.SingleTeacherDistill'],
)
@pytest.mark.parametrize('changes, message', TABLE)
def test_what_is_wrong_is_reported(
    check_model, run_config, algorithm, changes, message
):
    run_config.model.type = algorithm
    with pytest.raises((TypeError, ValueError)) as error:
        check_model(changes)
    assert message in str(error.value)


def test_recorders_that_no_loss_reads_are_reported(
    check_model, listen, run_config
):
    messages = listen()
    check_model(
        {
            'student_recorders.more': dict(
                type='ModuleOutputs', source='head.fc'
            ),
            'teacher_recorders.other': dict(
                type='ModuleOutputs', source='head.fc'
            ),
        }
    )
    assert [m for m in messages if m.startswith('WARNING')] == [
        'WARNING: model.distiller.student_recorders: no loss reads more. Name '
        'it in loss_forward_mappings, or remove it.',
        'WARNING: model.distiller.teacher_recorders: no loss reads other. '
        'Name it in loss_forward_mappings, or remove it.',
    ]


@pytest.mark.parametrize(
    'argument, side',
    [
        ('preds_S', 'student'),
        ('s_feature', 'student'),
        ('student', 'student'),
        ('feat_s', 'student'),
        ('logits_student', 'student'),
        ('branches', 'student'),
        ('preds_T', 'teacher'),
        ('t_feats', 'teacher'),
        ('teacher_logits', 'teacher'),
        ('gt_labels', None),
        ('cls_score', None),
        ('target', None),
        ('data_samples', None),
    ],
)
def test_side_of_an_argument(argument, side):
    assert find_side(argument) == side


def test_a_name_without_loss_is_reported(check_model, listen):
    """MMEngine adds up only what is called a loss."""
    messages = listen()
    check_model(
        {
            'distill_losses.kd': dict(type='KLDivergence'),
            'loss_forward_mappings.kd': dict(
                preds_S=LOGITS_S, preds_T=LOGITS_T
            ),
        }
    )
    assert [m for m in messages if m.startswith('WARNING')] == [
        'WARNING: model.distiller.distill_losses.kd trains nothing: only what '
        'has "loss" in its name is added up. Call it loss_kd.'
    ]


def test_any_argument_of_a_loss_may_be_given(check_model):
    check_model(
        {
            'distill_losses.loss_kd': dict(_delete_=True, type='AnyPair'),
            'loss_forward_mappings.loss_kd': dict(
                _delete_=True, first=LOGITS_S, second=LOGITS_T, extra=LOGITS_T
            ),
        }
    )


def test_connectors_are_pretrained_on_the_teacher_alone(check_model):
    """As by MMRazor's config of factor transfer."""
    changes = {
        'model.student_trainable': False,
        'model.calculate_student_loss': False,
        'connectors': dict(
            _delete_=True,
            factor=dict(
                type='Paraphraser',
                phase='pretrain',
                in_channel=32,
                out_channel=8,
            ),
        ),
        'distill_losses': dict(_delete_=True, loss_factor=L2),
        'loss_forward_mappings': dict(
            _delete_=True,
            loss_factor=dict(
                s_feature=dict(from_student=False, recorder='feat'),
                t_feature=dict(
                    from_student=False, recorder='feat', connector='factor'
                ),
            ),
        ),
    }
    check_model(changes)
    with pytest.raises(ValueError, match='s_feature.from_student should be'):
        check_model({**changes, 'model.student_trainable': True})
    with pytest.raises(ValueError) as error:
        check_model({**changes, 'model.calculate_student_loss': True})
    assert str(error.value) == (
        'model.calculate_student_loss should be False with '
        'student_trainable=False, but got True: the loss of the student would '
        'train it'
    )


def test_both_distillers_of_data_free_distillation_are_checked(kd_config):
    ours = kd_config.model
    student, teacher = ours.architecture, ours.teacher
    distiller = ours.distiller
    distiller.teacher_recorders.logits.source = 'big.head.fc'
    generator = dict(
        type='ConfigurableDistiller',
        teacher_recorders=dict(distiller.teacher_recorders),
        distill_losses=dict(loss_oh=dict(type='OnehotLikeLoss')),
        loss_forward_mappings=dict(loss_oh=dict(preds_T=LOGITS_T)),
    )
    config = dict(
        type='DAFLDataFreeDistillation',
        _scope_='mmrazor',
        architecture=student,
        teachers=dict(big=dict(build_cfg=teacher)),
        generator=dict(
            type='DAFLGenerator', img_size=16, latent_dim=8, hidden_channels=8
        ),
        distiller=distiller,
        generator_distiller=generator,
    )
    model = MODELS.build(copy.deepcopy(config))
    assert list(find_distillers(model)) == [
        'model.distiller',
        'model.generator_distiller',
    ]
    check_distillation(model)  # its generator learns from the teacher alone
    losses = generator['distill_losses']
    losses['loss_ie'] = dict(type='InformationEntropyLoss')
    with pytest.raises(
        ValueError,
        match='model.generator_distiller.distill_losses.loss_ie should have',
    ):
        check_distillation(MODELS.build(copy.deepcopy(config)))
    del losses['loss_ie']
    distiller.loss_forward_mappings.loss_kd.preds_T = LOGITS_S
    with pytest.raises(
        ValueError, match='loss_kd.preds_T.from_student should be False'
    ):
        check_distillation(MODELS.build(copy.deepcopy(config)))


def test_self_distillation_of_mmrazor_passes(kd_config):
    """BYOT: labels and targets are those of the student's own last layer."""
    model = kd_config.model
    model.pop('teacher')
    model.type = 'SelfDistill'
    record = dict(recorder='stage', from_student=True, connector='first')
    model.distiller = dict(
        type='BYOTDistiller',
        student_recorders=dict(
            stage=dict(type='ModuleOutputs', source='backbone.layer1')
        ),
        teacher_recorders=dict(
            fc=dict(type='ModuleOutputs', source='head.fc'),
            labels=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        connectors=dict(
            first=dict(
                type='BYOTConnector',
                in_channel=4,
                out_channel=16,
                num_classes=10,
                expansion=1,
                kernel_size=3,
                stride=2,
            )
        ),
        distill_losses=dict(
            loss_label=dict(type='mmpretrain.CrossEntropyLoss'),
            loss_soft=dict(type='KLDivergence'),
        ),
        loss_forward_mappings=dict(
            loss_label=dict(
                cls_score=dict(record, connector_idx=1),
                label=dict(recorder='labels', from_student=False, data_idx=1),
            ),
            loss_soft=dict(
                preds_S=dict(record, connector_idx=1),
                preds_T=dict(recorder='fc', from_student=False),
            ),
        ),
    )
    check_distillation(MODELS.build(copy.deepcopy(model)))
    model.distiller.loss_forward_mappings.loss_soft.preds_T = dict(
        record, connector_idx=1
    )
    with pytest.raises(
        ValueError, match='loss_soft.preds_T.from_student should be False'
    ):
        check_distillation(MODELS.build(copy.deepcopy(model)))
