"""A distillation run that takes seconds, for tests of the whole chain."""
import uuid
from typing import Callable

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner


@pytest.fixture(scope='session', autouse=True)
def one_thread():
    torch.set_num_threads(1)


def resnet(channels: int) -> dict:
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='mmdskd.CIFARResNet',
            depth=8,
            in_channels=1,
            stem_channels=channels,
            stage_channels=(channels, 2 * channels, 4 * channels)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=4 * channels,
            loss=dict(type='CrossEntropyLoss')))


def dataloader(split: str, indices: int, shuffle: bool) -> dict:
    return dict(
        batch_size=20,
        num_workers=0,
        dataset=dict(
            type='mmdskd.Digits',
            split=split,
            indices=indices,
            pipeline=[
                dict(type='mmpretrain.Resize', scale=16),
                dict(type='mmpretrain.PackInputs')
            ]),
        sampler=dict(type='DefaultSampler', shuffle=shuffle))


@pytest.fixture
def kd_config(tmp_path) -> Config:
    """Logits KD between two tiny ResNets on a few digits: 3 epochs of 5
    iterations."""
    return Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=dict(
                imports=['mmdskd'], allow_failed_imports=False),
            teacher_ckpt='/no/such/teacher.pth',
            model=dict(
                type='mmrazor.SingleTeacherDistill',
                _scope_='mmrazor',
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor',
                    mean=[77.7],
                    std=[33.3]),
                architecture=resnet(4),
                teacher=resnet(8),
                distiller=dict(
                    type='ConfigurableDistiller',
                    student_recorders=dict(
                        logits=dict(type='ModuleOutputs', source='head.fc')),
                    teacher_recorders=dict(
                        logits=dict(type='ModuleOutputs', source='head.fc')),
                    distill_losses=dict(
                        loss_kd=dict(type='KLDivergence', loss_weight=0.1)),
                    loss_forward_mappings=dict(
                        loss_kd=dict(
                            preds_S=dict(
                                from_student=True, recorder='logits'),
                            preds_T=dict(
                                from_student=False, recorder='logits'))))),
            train_dataloader=dataloader('train', 100, shuffle=True),
            val_dataloader=dataloader('test', 50, shuffle=False),
            test_dataloader=dataloader('test', 50, shuffle=False),
            val_evaluator=dict(type='mmpretrain.Accuracy'),
            test_evaluator=dict(type='mmpretrain.Accuracy'),
            train_cfg=dict(by_epoch=True, max_epochs=3),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=1)),
            custom_hooks=[dict(type='mmdskd.StudentCheckpointHook')],
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            randomness=dict(seed=0),
            work_dir=str(tmp_path / 'run')))


@pytest.fixture
def build_runner() -> Callable[..., Runner]:
    """Build a runner that shares nothing with those before it."""

    def build(cfg: Config) -> Runner:
        cfg.experiment_name = uuid.uuid4().hex
        return Runner.from_cfg(cfg)

    return build


@pytest.fixture
def dskd_config(kd_config) -> Config:
    """DSKD on the first two stages, on top of logits KD."""
    distiller = kd_config.model.distiller
    distiller.student_recorders.update(
        shallow=dict(
            type='mmdskd.MultiModuleOutputs',
            sources=['backbone.layer1', 'backbone.layer2']),
        gt_labels=dict(type='ModuleInputs', source='head.loss_module'))
    distiller.teacher_recorders.feat = dict(
        type='ModuleOutputs', source='backbone.layer3')
    distiller.connectors = dict(
        heads=dict(
            type='mmdskd.DSKDConnector',
            in_channels=[4, 8],
            strides=[4, 2],
            out_channels=32,
            num_classes=10))
    distiller.distill_losses.loss_dskd = dict(
        type='mmdskd.DSKDLoss',
        num_branches=2,
        logit_loss=dict(type='KLDivergence', tau=4),
        feat_loss=dict(type='L2Loss', normalize=False, div_element=True))
    distiller.loss_forward_mappings.loss_dskd = dict(
        branches=dict(
            from_student=True, recorder='shallow', connector='heads'),
        preds_T=dict(from_student=False, recorder='logits'),
        feat_T=dict(from_student=False, recorder='feat'),
        gt_labels=dict(from_student=True, recorder='gt_labels', data_idx=1))
    kd_config.custom_hooks = [dict(type='mmdskd.LossWeightSchedulerHook')]
    return kd_config
