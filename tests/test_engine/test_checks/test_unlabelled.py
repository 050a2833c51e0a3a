"""Images without labels, from which the teacher alone can teach."""

import pytest
import torch
from mmengine.registry import DATASETS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from mmdskd.engine.checks.run_check import check_before_training

LABELS = dict(from_student=True, recorder='gt_labels', data_idx=1)


@DATASETS.register_module()
class Unlabelled(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (1, 16, 16), generator=generator)
        return dict(inputs=image.to(torch.uint8), data_samples=DataSample())


@pytest.fixture
def unlabelled(run_config):
    run_config.model.calculate_student_loss = False
    run_config.train_dataloader.dataset = dict(type='Unlabelled')
    run_config.train_cfg.max_epochs = 1
    return run_config


def test_teacher_alone(unlabelled, build_runner):
    runner = build_runner(unlabelled)
    names = ('backbone.layer1.0.conv1.weight', 'head.fc.weight')
    student = runner.model.architecture
    before = [student.get_parameter(name).clone() for name in names]
    runner.train()
    for name, value in zip(names, before):
        assert not torch.equal(student.get_parameter(name), value)
    logged = set(runner.message_hub.log_scalars)
    assert {'train/distill.loss_kd', 'train/distill.loss_dskd'} <= logged
    assert not any('student' in name for name in logged)


def test_losses_are_those_with_labels(unlabelled, build_runner):
    """Nothing but the labels is left out."""
    model = build_runner(unlabelled).model
    inputs = torch.rand(4, 1, 16, 16)
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    model.train()
    labelled = model.loss(inputs, samples)
    for data_samples in ([DataSample()] * 4, None):
        found = model.loss(inputs, data_samples)
        assert found.keys() == labelled.keys()
        for name, value in labelled.items():
            assert torch.equal(value, found[name])
    assert 'gt_labels' in model.distiller.loss_forward_mappings['loss_dskd']


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            {'model.calculate_student_loss': True},
            'The images should have labels (gt_label) for the task loss of '
            'the student, but have none. To learn from the teacher alone, set '
            'model.calculate_student_loss=False',
        ),
        (
            {
                'model.distiller.distill_losses.loss_dskd.label_loss': dict(
                    type='mmpretrain.CrossEntropyLoss'
                )
            },
            'DSKDLoss with the terms',
        ),
        (
            {
                'model.distiller.distill_losses.loss_kd': dict(
                    type='DKDLoss', _delete_=True
                ),
                'model.distiller.loss_forward_mappings.loss_kd.gt_labels': (
                    LABELS
                ),
            },
            'model.distiller.loss_forward_mappings.loss_kd.gt_labels: '
            "recorder 'gt_labels' should record 'head.loss_module' of the "
            'student, but it does not run in a forward without labels: a loss '
            'that needs them can not learn from such images',
        ),
        (
            {'model.type': 'mmrazor.SingleTeacherDistill'},
            'The images should have labels (gt_label) for '
            'SingleTeacherDistill, but have none. To learn from the teacher '
            'alone, take mmdskd.FrozenTeacherDistill with '
            'calculate_student_loss=False',
        ),
        (
            {'val_dataloader.dataset': dict(type='Unlabelled', _delete_=True)},
            'val_dataloader should give images with labels (gt_label), which '
            'Accuracy of val_evaluator needs, but the first has none. Give '
            'labels, or train without validation: val_cfg=None, '
            'val_dataloader=None, val_evaluator=None',
        ),
    ],
)
def test_what_needs_labels_is_refused(
    unlabelled, build_runner, changes, message
):
    unlabelled.merge_from_dict(changes)
    runner = build_runner(unlabelled)
    with pytest.raises(ValueError) as error:
        check_before_training(runner)
    assert message in str(error.value)


def test_a_plain_network_needs_labels(unlabelled, build_runner):
    model = unlabelled.model
    unlabelled.model = dict(
        model.architecture, data_preprocessor=model.data_preprocessor
    )
    unlabelled.custom_hooks = []
    runner = build_runner(unlabelled)
    with pytest.raises(
        ValueError,
        match=r'images should have labels \(gt_label\) for ImageClassifier, '
        'but have none',
    ):
        check_before_training(runner)
