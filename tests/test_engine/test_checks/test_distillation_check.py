import re
from types import SimpleNamespace

import pytest
import torch
from mmrazor.registry import MODELS

from mmdskd.engine import BranchEvaluationHook, LossWeightSchedulerHook
from mmdskd.engine.checks import distillation_check
from mmdskd.engine.checks.distillation_check import (
    check_distillation,
    check_distillation_once,
)


@pytest.fixture
def check(dskd_config):
    """Change the config, build the algorithm and check it."""

    def run(**changes):
        dskd_config.merge_from_dict(
            {
                'model.distiller.' + key.replace('__', '.'): value
                for key, value in changes.items()
            }
        )
        cfg = dskd_config.model
        check_distillation(MODELS.build(cfg))

    return run


def test_a_fitting_distillation_passes(check):
    check()


def test_a_model_that_does_not_distil_passes(dskd_config):
    check_distillation(MODELS.build(dskd_config.model.architecture))


MSE = dict(
    _delete_=True,
    type='mmdskd.DSKDLoss',
    num_branches=2,
    feat_loss=dict(type='L2Loss'),
)


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            dict(distill_losses__loss_dskd__num_branches=3),
            r"numbers of branches should agree.*recorder 'shallow' "
            r"\(sources\) 2, connector 'heads' \(in_channels\) 2, loss "
            r"'loss_dskd' \(num_branches\) 3",
        ),
        (
            dict(student_recorders__shallow__sources=['backbone.layer1']),
            r"recorder 'shallow' \(sources\) 1",
        ),
        (
            dict(
                connectors__heads__in_channels=[4],
                connectors__heads__strides=[4],
            ),
            r"connector 'heads' \(in_channels\)"
            ' 1',
        ),
        (
            dict(connectors__heads__num_classes=None),
            "logit_loss or label_loss, but connector 'heads' has no "
            'classifier',
        ),
        (
            dict(connectors__heads__num_classes=7),
            'numbers of classes should agree, but they are: teacher 10, '
            "connector 'heads' 7. loss_dskd compares their logits",
        ),
        (
            dict(distill_losses__loss_dskd=MSE),
            'which would get no gradient: set num_classes=None',
        ),
        (
            dict(distill_losses__loss_kd__tau=0),
            'loss_kd: tau of KLDivergence should be a number > 0, but got 0',
        ),
        (
            dict(
                loss_forward_mappings__loss_dskd=dict(
                    _delete_=True,
                    branches=dict(
                        from_student=True,
                        recorder='shallow',
                        connector='heads',
                    ),
                    feat_T=dict(from_student=False, recorder='feat'),
                )
            ),
            'should give branches, preds_T, feat_T, but preds_T is missing',
        ),
        (
            dict(
                loss_forward_mappings__loss_dskd__branches=dict(
                    _delete_=True, from_student=True, recorder='shallow'
                )
            ),
            'loss_dskd.branches should come through a connector of type '
            'mmdskd.DSKDConnector, but its connector None is a NoneType',
        ),
        (
            dict(
                connectors__heads=[
                    dict(
                        type='TorchFunctionalConnector',
                        function_name='relu',
                        func_args=dict(),
                    )
                ]
            ),
            "its connector 'heads' is a Sequential",
        ),
        (
            dict(
                loss_forward_mappings__loss_dskd__branches__recorder='logits'
            ),
            "recorded by mmdskd.MultiModuleOutputs, but 'logits' is a "
            'ModuleOutputsRecorder',
        ),
    ],
)
def test_what_does_not_fit_is_told(check, changes, message):
    with pytest.raises(ValueError, match=message):
        check(**changes)


def test_teacher_and_student_have_the_same_classes(check, dskd_config):
    dskd_config.model.teacher.head.num_classes = 20
    with pytest.raises(
        ValueError,
        match='numbers of classes should agree, but they are: student '
        '10, teacher 20. loss_kd compares their logits; where only features '
        'teach, they may differ. Fine-tune the teacher on the data of the '
        'student first: head.num_classes=10 and ',
    ):
        check()


@pytest.mark.parametrize('number', [10, 20])
def test_classes_of_a_teacher_of_timm(kd_config, number):
    pytest.importorskip('timm')
    model = kd_config.model
    model.type = 'mmdskd.FrozenTeacherDistill'
    model.teacher = dict(
        type='TimmClassifier',
        _scope_='mmpretrain',
        model_name='resnet10t',
        num_classes=number,
    )
    model.distiller.teacher_recorders.logits.source = 'model.fc'
    algorithm = MODELS.build(model)
    assert algorithm.teacher_forward.has_task == (number == 10)
    if number == 10:
        check_distillation(algorithm)
        return
    with pytest.raises(
        ValueError,
        match='should agree, but they are: student 10, teacher 20. loss_kd',
    ):
        check_distillation(algorithm)


def test_kd_without_dskd_is_checked_too(kd_config):
    kd_config.model.distiller.distill_losses.loss_kd.tau = -4
    with pytest.raises(ValueError, match='loss_kd: tau .* but got -4'):
        check_distillation(MODELS.build(kd_config.model))


STANDARDIZED = dict(type='mmdskd.StandardizedKLDivergence')


@pytest.mark.parametrize(
    'name, part, changes',
    [
        ('loss_kd', 'student', dict(distill_losses__loss_kd=STANDARDIZED)),
        (
            'loss_dskd',
            'teacher',
            dict(distill_losses__loss_dskd__logit_loss=STANDARDIZED),
        ),
    ],
)
def test_one_class_is_not_standardised(
    check, dskd_config, name, part, changes
):
    check(**changes)
    model = dskd_config.model
    for module in (
        model.architecture.head,
        model.teacher.head,
        model.distiller.connectors.heads,
    ):
        module.num_classes = 1
    with pytest.raises(
        ValueError,
        match=f'{name}: StandardizedKLDivergence should get logits of at '
        f'least 2 classes, but the {part} has 1: the deviation',
    ):
        check()


def test_one_class_of_the_heads_alone_is_not_standardised(dskd_config):
    """Not every classifier has the attribute num_classes."""
    distiller = dskd_config.model.distiller
    distiller.distill_losses.loss_dskd.logit_loss = STANDARDIZED
    distiller.connectors.heads.num_classes = 1
    model = MODELS.build(dskd_config.model)
    for part in (model.architecture, model.teacher):
        del part.head.num_classes
    with pytest.raises(
        ValueError,
        match='loss_dskd: StandardizedKLDivergence should get logits of at '
        "least 2 classes, but the connector 'heads' has 1",
    ):
        check_distillation(model)


ONE_WIDTH = dict(init_args=dict(candidate_choices=[1.0], choice_mode='ratio'))
STAGES = ('backbone.conv1_(0, 4)_4', 'backbone.layer2.0.conv2_(0, 8)_8')


@pytest.fixture
def search(dskd_config):
    """AutoSlim, of which some units keep their width."""

    def build(*fixed):
        model = dskd_config.model
        del model['teacher']
        model.distiller.connectors.heads.out_channels = 16
        model.update(
            type='AutoSlim',
            mutator=dict(
                type='OneShotChannelMutator',
                channel_unit_cfg=dict(
                    type='OneShotMutableChannelUnit',
                    default_args=dict(
                        candidate_choices=[0.5, 1.0], choice_mode='ratio'
                    ),
                    units=dict.fromkeys(fixed, ONE_WIDTH),
                ),
                parse_cfg=dict(
                    type='ChannelAnalyzer',
                    demo_input=(1, 1, 16, 16),
                    tracer_type='BackwardTracer',
                ),
            ),
        )
        return MODELS.build(model)

    return build


def test_heads_in_a_search_need_layers_of_fixed_width(search):
    model = search(*STAGES)
    check_distillation(model)
    # So it is.
    backbone = model.architecture.backbone
    image = torch.rand(2, 1, 16, 16)
    for choices in (model.mutator.max_choices, model.mutator.min_choices):
        model.mutator.set_choices(choices)
        assert (
            backbone.layer1(
                backbone.relu(backbone.bn1(backbone.conv1(image)))
            ).shape[1]
            == 4
        )
        assert backbone(image)[0].shape[1] in (8, 16)


@pytest.mark.parametrize(
    'fixed, source, unit',
    [((), 'layer1', STAGES[0]), (STAGES[:1], 'layer2', STAGES[1])],
)
def test_varying_width_is_told(search, fixed, source, unit):
    with pytest.raises(ValueError) as error:
        check_distillation(search(*fixed))
    assert f"AutoSlim varies the width of 'backbone.{source}'" in str(
        error.value
    )
    assert f'units={{{unit!r}: dict(init_args=dict(candidate' in str(
        error.value
    )
    # What it says to write is right.
    written = re.search(r'units=(\{.*?\)\)\})', str(error.value)).group(1)
    assert eval(written) == {unit: ONE_WIDTH}


def test_classes_of_a_search_are_checked(search, dskd_config):
    model = search(*STAGES)
    model.architecture.head.num_classes = 7
    with pytest.raises(ValueError, match="student 7, connector 'heads' 10"):
        check_distillation(model)


def test_a_model_is_checked_once(dskd_config, monkeypatch):
    """By the tool or by the first hook, and not at each validation."""
    checked = []
    check = distillation_check._check_dskd
    monkeypatch.setattr(
        distillation_check,
        '_check_dskd',
        lambda *args: checked.append(args[0]) or check(*args),
    )
    models = [MODELS.build(dskd_config.model) for _ in range(2)]
    check_distillation(models[0])  # as tools/train.py does
    for model in models:
        runner = SimpleNamespace(
            model=model, hooks=[], train_loop=None, iter=0, max_iters=1
        )
        evaluation = BranchEvaluationHook()
        LossWeightSchedulerHook().before_train(runner)
        evaluation.before_train(runner)
        for _ in range(2):
            evaluation.before_val_epoch(runner)
            evaluation._stop()
    assert checked == ['loss_dskd'] * 2
    # What did not fit is told again.
    del models[0].distiller.loss_forward_mappings['loss_dskd']['feat_T']
    with pytest.raises(ValueError, match='feat_T is missing'):
        check_distillation(models[0])
    with pytest.raises(ValueError, match='feat_T is missing'):
        check_distillation_once(models[0])
