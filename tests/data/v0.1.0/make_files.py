"""Make the files of this folder with version 0.1.0, see README.md."""

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

import mmdskd  # noqa: F401
from mmdskd.utils.checkpoint import load_checkpoint_file
from mmdskd.utils.multi_exit import (
    extract_multi_exit,
    find_exits,
    make_multi_exit_config,
)


def resnet(channels):
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='mmdskd.CIFARResNet',
            depth=8,
            in_channels=1,
            stem_channels=channels,
            stage_channels=(channels, 2 * channels, 4 * channels),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=10,
            in_channels=4 * channels,
            loss=dict(type='CrossEntropyLoss'),
            init_cfg=dict(type='Normal', layer='Linear', std=1),
        ),
    )


def dataloader(split, shuffle):
    return dict(
        batch_size=20,
        num_workers=0,
        dataset=dict(
            type='mmdskd.Digits',
            split=split,
            indices=20,
            pipeline=[
                dict(type='mmpretrain.Resize', scale=16),
                dict(type='mmpretrain.PackInputs'),
            ],
        ),
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
    )


kl = dict(type='KLDivergence', tau=4)
config = Config(
    dict(
        default_scope='mmpretrain',
        custom_imports=dict(imports=['mmdskd'], allow_failed_imports=False),
        model=dict(
            type='mmdskd.FrozenTeacherDistill',
            _scope_='mmrazor',
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor', mean=[77.7], std=[33.3]
            ),
            architecture=resnet(2),
            teacher=resnet(4),
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=dict(
                    shallow=dict(
                        type='mmdskd.MultiModuleOutputs',
                        sources=['backbone.layer1', 'backbone.layer2'],
                    ),
                    logits=dict(type='ModuleOutputs', source='head.fc'),
                    gt_labels=dict(
                        type='ModuleInputs', source='head.loss_module'
                    ),
                ),
                teacher_recorders=dict(
                    feat=dict(type='ModuleOutputs', source='backbone.layer3'),
                    logits=dict(type='ModuleOutputs', source='head.fc'),
                ),
                connectors=dict(
                    heads=dict(
                        type='mmdskd.DSKDConnector',
                        in_channels=[2, 4],
                        strides=[4, 2],
                        out_channels=16,
                        num_classes=10,
                    )
                ),
                distill_losses=dict(
                    loss_kd=kl,
                    loss_dskd=dict(
                        type='mmdskd.DSKDLoss',
                        num_branches=2,
                        logit_loss=kl,
                        feat_loss=dict(
                            type='L2Loss', normalize=False, div_element=True
                        ),
                    ),
                ),
                loss_forward_mappings=dict(
                    loss_kd=dict(
                        preds_S=dict(from_student=True, recorder='logits'),
                        preds_T=dict(from_student=False, recorder='logits'),
                    ),
                    loss_dskd=dict(
                        branches=dict(
                            from_student=True,
                            recorder='shallow',
                            connector='heads',
                        ),
                        preds_T=dict(from_student=False, recorder='logits'),
                        feat_T=dict(from_student=False, recorder='feat'),
                        gt_labels=dict(
                            from_student=True, recorder='gt_labels', data_idx=1
                        ),
                    ),
                ),
            ),
        ),
        train_dataloader=dataloader('train', True),
        val_dataloader=dataloader('test', False),
        val_evaluator=dict(type='mmpretrain.Accuracy'),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, out_dir='.')
        ),
        custom_hooks=[
            dict(type='mmdskd.LossWeightSchedulerHook'),
            dict(type='mmdskd.StudentCheckpointHook'),
        ],
        randomness=dict(seed=0),
        work_dir='run',
    )
)
config.dump('config.py')
Runner.from_cfg(Config.fromfile('config.py')).train()

run = Config.fromfile('run/config.py')
exits = find_exits(run)
multi_exit = make_multi_exit_config(run, exits)
multi_exit.dump('run/multi_exit_config.py')
torch.save(
    extract_multi_exit(
        load_checkpoint_file('run/epoch_1.pth'), exits, multi_exit
    ),
    'run/epoch_1_multi_exit.pth',
)
images = torch.arange(512.0).view(2, 1, 16, 16) / 128 - 2
logits = {}
for kind in ('student', 'multi_exit'):
    cfg = Config.fromfile(f'run/{kind}_config.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    model.load_state_dict(
        torch.load(f'run/epoch_1_{kind}.pth', weights_only=True)['state_dict']
    )
    with torch.no_grad():
        logits[kind] = model(images).tolist()
        if kind == 'multi_exit':
            logits['exits'] = [
                each.tolist() for each in model.exit_logits(images)
            ]
Path('run/logits.json').write_text(json.dumps(logits))
