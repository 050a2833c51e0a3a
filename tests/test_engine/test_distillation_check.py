import pytest
import torch
from mmrazor.registry import MODELS

from mmdskd.engine.distillation_check import (check_distillation,
                                              check_teacher_checkpoint)


@pytest.fixture
def check(dskd_config):
    """Change the config, build the algorithm and check it."""

    def run(**changes):
        dskd_config.merge_from_dict({
            'model.distiller.' + key.replace('__', '.'): value
            for key, value in changes.items()
        })
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
    feat_loss=dict(type='L2Loss'))


@pytest.mark.parametrize('changes, message', [
    (dict(distill_losses__loss_dskd__num_branches=3),
     r"numbers of branches should agree.*recorder 'shallow' \(sources\) 2, "
     r"connector 'heads' \(in_channels\) 2, loss 'loss_dskd' "
     r'\(num_branches\) 3'),
    (dict(student_recorders__shallow__sources=['backbone.layer1']),
     r"recorder 'shallow' \(sources\) 1"),
    (dict(
        connectors__heads__in_channels=[4],
        connectors__heads__strides=[4]), r"connector 'heads' \(in_channels\)"
     ' 1'),
    (dict(connectors__heads__num_classes=None),
     "logit_loss or label_loss, but connector 'heads' has no classifier"),
    (dict(connectors__heads__num_classes=7),
     "numbers of classes should agree.*student 10, teacher 10, connector "
     "'heads' 7"),
    (dict(distill_losses__loss_dskd=MSE), 'which would get no gradient: set '
     'num_classes=None'),
    (dict(distill_losses__loss_kd__tau=0),
     'loss_kd: tau of KLDivergence should be > 0, but got 0'),
    (dict(loss_forward_mappings__loss_dskd=dict(
        _delete_=True,
        branches=dict(
            from_student=True, recorder='shallow', connector='heads'),
        feat_T=dict(from_student=False, recorder='feat'))),
     'should give branches, preds_T, feat_T, but preds_T is missing'),
    (dict(loss_forward_mappings__loss_dskd__branches=dict(
        _delete_=True, from_student=True, recorder='shallow')),
     'a connector of type mmdskd.DSKDConnector, but its connector None is a '
     'NoneType'),
    (dict(connectors__heads=[dict(type='TorchFunctionalConnector',
                                  function_name='relu', func_args=dict())]),
     "its connector 'heads' is a Sequential"),
    (dict(loss_forward_mappings__loss_dskd__branches__recorder='logits'),
     "recorded by mmdskd.MultiModuleOutputs, but 'logits' is a "
     'ModuleOutputsRecorder'),
])
def test_what_does_not_fit_is_told(check, changes, message):
    with pytest.raises(ValueError, match=message):
        check(**changes)


def test_teacher_and_student_have_the_same_classes(check, dskd_config):
    dskd_config.model.teacher.head.num_classes = 20
    with pytest.raises(
            ValueError,
            match='numbers of classes should agree, but they are: student '
            '10, teacher 20'):
        check()


def test_kd_without_dskd_is_checked_too(kd_config):
    kd_config.model.distiller.distill_losses.loss_kd.tau = -4
    with pytest.raises(ValueError, match='loss_kd: tau .* but got -4'):
        check_distillation(MODELS.build(kd_config.model))


@pytest.fixture
def teacher(dskd_config):
    return MODELS.build(dskd_config.model.teacher)


@pytest.fixture
def check_teacher(teacher, tmp_path):
    """Save a checkpoint, and check the teacher against it."""

    def run(state_dict, key='state_dict'):
        path = tmp_path / 'teacher.pth'
        torch.save({key: state_dict} if key else dict(state_dict), path)
        check_teacher_checkpoint(teacher, str(path))

    return run


def test_checkpoint_of_the_teacher_passes(teacher, check_teacher):
    weights = teacher.state_dict()
    check_teacher(weights)
    check_teacher(weights, key=None)
    check_teacher({f'module.{name}': v for name, v in weights.items()})
    check_teacher({**weights, 'data_preprocessor.mean': torch.zeros(1)})
    check_teacher({
        k: v
        for k, v in weights.items() if 'num_batches_tracked' not in k
    })


def test_teacher_that_resizes_what_it_loads(tmp_path):
    """Its position embedding fits images of any size."""

    def build(img_size):
        return MODELS.build(
            dict(
                type='mmpretrain.VisionTransformer',
                arch=dict(
                    embed_dims=8,
                    num_layers=1,
                    num_heads=2,
                    feedforward_channels=8),
                img_size=img_size,
                patch_size=16))

    path = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=build(64).state_dict()), path)
    check_teacher_checkpoint(build(32), str(path))


def test_checkpoint_of_another_network(dskd_config, check_teacher):
    other = dskd_config.model.teacher
    other.backbone.depth = 14
    with pytest.raises(
            ValueError,
            match='teacher_ckpt should .*teacher.pth.* does not. unexpected: '
            r'backbone.layer1.1.conv1.weight, .* and \d+ more. .*_student.pth'
    ):
        check_teacher(MODELS.build(other).state_dict())
    other.backbone.depth = 8
    other.head.num_classes = 7
    with pytest.raises(
            ValueError,
            match=r'(?s)size mismatch for head.fc.weight: .*\[7, 32\].*'
            r'\[10, 32\]'):
        check_teacher(MODELS.build(other).state_dict())


def test_checkpoint_of_an_algorithm_is_no_teacher(teacher, check_teacher):
    weights = teacher.state_dict()
    with pytest.raises(
            ValueError,
            match='missing: backbone.conv1.weight.*; unexpected: '
            'architecture.backbone.conv1.weight'):
        check_teacher({f'architecture.{k}': v for k, v in weights.items()})
