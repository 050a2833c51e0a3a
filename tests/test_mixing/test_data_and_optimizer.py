"""docs/mixing.md: mixup, and the optimizer."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models.utils import RandomBatchAugment
from test_mixing.page import BATCH_SIZE, look, scalars, section


@pytest.mark.parametrize(
    'kind',
    [
        'AugmentingDataPreprocessor',
        pytest.param('ClsDataPreprocessor', marks=pytest.mark.slow),
    ],
)
def test_mixup_and_cutmix(start, kind):
    [block] = section('Mixup and CutMix')
    changes = {
        'model.distiller.distill_losses.loss_dskd.label_loss': dict(
            type='mmpretrain.CrossEntropyLoss'
        ),
        'custom_hooks.2.enabled': False,
    }
    if kind == 'ClsDataPreprocessor':
        changes['data_preprocessor'] = dict(
            type='mmpretrain.ClsDataPreprocessor',
            _delete_=True,
            num_classes=10,
            mean=[78.4],
            std=[81.7],
            batch_augments=Config.fromstring(
                block.replace('_base_', 'base'), '.py'
            ).data_preprocessor.batch_augments,
        )
    runner = start(block, **changes)
    preprocessor = runner.model.data_preprocessor
    assert type(preprocessor).__name__ == kind
    assert isinstance(preprocessor.batch_augments, RandomBatchAugment)
    images = {'student': [], 'teacher': []}
    for name, seen in images.items():
        getattr(runner.model, name).backbone.register_forward_pre_hook(
            lambda module, args, seen=seen: seen.append(args[0])
        )
    runner.train()
    assert torch.equal(images['student'][0], images['teacher'][0])
    for labels in look(runner).labels[:2]:
        assert labels.shape == (BATCH_SIZE, 10)
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(BATCH_SIZE))
        assert ((labels > 0).sum(dim=1) == 2).any()
    assert len(scalars(runner, 'distill.loss_dskd')) == 2


def test_mixup_with_a_loss_of_class_indices(start):
    [block] = section('Mixup and CutMix')
    runner = start(
        block,
        **{
            'model.distiller.distill_losses.loss_dskd.logit_loss': dict(
                type='DKDLoss', tau=4, _delete_=True
            )
        },
    )
    with pytest.raises(
        ValueError,
        match=r'DKDLoss takes class indices \(N, \), but got '
        r'labels \(2, 10\), as mixup and CutMix make them',
    ):
        runner.train()


def test_parameters_of_the_heads(start):
    [block] = section('Learning rate and weight decay of the heads')
    runner = start(block)
    runner.train()
    model = runner.model
    heads = {id(param) for param in model.distiller.connectors.parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    seen = {True: 0, False: 0}
    for group in groups:
        [param] = group['params']
        is_head = id(param) in heads
        seen[is_head] += 1
        assert group['initial_lr'] == pytest.approx(0.005 if is_head else 0.05)
        assert group['weight_decay'] == (0 if is_head else 5e-4)
    assert seen == {
        True: len(heads),
        False: len(list(model.student.parameters())),
    }
    # It has no effect on the plain student.
    text = (Path('work_dirs/block') / 'student_config.py').read_text()
    assert 'architecture' not in text
