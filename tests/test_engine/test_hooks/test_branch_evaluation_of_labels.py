"""Branches of a student with several labels per image."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from multi_labels import use_multi_labels

from mmdskd.engine.checks.run_check import check_run
from mmdskd.engine.hooks.branch_evaluation_hook import _check_labels
from mmdskd.models import MultiModuleOutputsRecorder


@pytest.fixture
def runner(dskd_config, build_runner, tmp_path):
    cfg = use_multi_labels(dskd_config, tmp_path)
    cfg.model.type = 'mmdskd.FrozenTeacherDistill'
    cfg.model.teacher_ckpt = None
    cfg.custom_hooks.append(dict(type='mmdskd.BranchEvaluationHook'))
    runner = build_runner(cfg)
    generator = torch.Generator().manual_seed(0)
    for head in runner.model.distiller.connectors.heads.heads:
        head.classifier.weight.data.normal_(generator=generator)
    return runner


def average_precision(scores, labels):
    """Mean of the precision at each image that has the class."""
    labels = labels[np.argsort(-scores, kind='stable')]
    precision = labels.cumsum() / np.arange(1, len(labels) + 1)
    return precision[labels == 1].mean()


@torch.no_grad()
def evaluate(model, dataloader):
    """Compute the mean average precision of the branches in another way."""
    model.eval()
    recorder = MultiModuleOutputsRecorder(
        ['backbone.layer1', 'backbone.layer2']
    )
    recorder.initialize(model.architecture)
    scores, labels = [], []
    for batch in dataloader:
        for sample in batch['data_samples']:
            row = np.zeros(4)
            row[sample.gt_label.numpy()] = 1
            labels.append(row)
        data = model.data_preprocessor(batch)
        with recorder:
            model.architecture(data['inputs'])
        branches = model.distiller.connectors['heads'](
            recorder.get_record_data()
        )
        scores.append(torch.stack([branch.logits for branch in branches]))
    labels = np.array(labels)
    return [
        100
        * np.mean(
            [
                average_precision(logits[:, k].numpy(), labels[:, k])
                for k in range(4)
            ]
        )
        for logits in torch.cat(scores, 1)
    ]


def test_mean_average_precision_of_each_branch_is_logged(runner):
    check_run(runner)
    runner.train()
    scalars = runner.message_hub.log_scalars
    found = [
        scalars[f'val/dskd.branch_{i}/multi-label/mAP'].current()
        for i in range(2)
    ]
    assert found == pytest.approx(
        evaluate(runner.model, runner.val_dataloader), abs=1e-3
    )
    assert found[0] != found[1]
    assert 'val/multi-label/recall' in scalars
    assert not any('branch_0/accuracy' in key for key in scalars)


def test_several_labels_for_a_head_of_one(dskd_config, build_runner):
    student = build_runner(dskd_config).model.architecture
    _check_labels(student, [DataSample().set_gt_label(3)])
    with pytest.raises(
        ValueError,
        match='BranchEvaluationHook should meet one label per image, as the '
        r'student has a LinearClsHead, but got gt_label=\[0, 2\]: take a '
        'head of several labels, such as MultiLabelLinearClsHead, or remove '
        'the hook',
    ):
        _check_labels(student, [DataSample().set_gt_label([0, 2])])
