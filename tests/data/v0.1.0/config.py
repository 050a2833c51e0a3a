custom_hooks = [
    dict(type='mmdskd.LossWeightSchedulerHook'),
    dict(type='mmdskd.StudentCheckpointHook'),
]
custom_imports = dict(
    allow_failed_imports=False, imports=[
        'mmdskd',
    ])
default_hooks = dict(
    checkpoint=dict(interval=1, out_dir='.', type='CheckpointHook'))
default_scope = 'mmpretrain'
model = dict(
    _scope_='mmrazor',
    architecture=dict(
        _scope_='mmpretrain',
        backbone=dict(
            depth=8,
            in_channels=1,
            stage_channels=(
                2,
                4,
                8,
            ),
            stem_channels=2,
            type='mmdskd.CIFARResNet'),
        head=dict(
            in_channels=8,
            init_cfg=dict(layer='Linear', std=1, type='Normal'),
            loss=dict(type='CrossEntropyLoss'),
            num_classes=10,
            type='LinearClsHead'),
        neck=dict(type='GlobalAveragePooling'),
        type='ImageClassifier'),
    data_preprocessor=dict(
        mean=[
            77.7,
        ], std=[
            33.3,
        ], type='mmpretrain.ClsDataPreprocessor'),
    distiller=dict(
        connectors=dict(
            heads=dict(
                in_channels=[
                    2,
                    4,
                ],
                num_classes=10,
                out_channels=16,
                strides=[
                    4,
                    2,
                ],
                type='mmdskd.DSKDConnector')),
        distill_losses=dict(
            loss_dskd=dict(
                feat_loss=dict(
                    div_element=True, normalize=False, type='L2Loss'),
                logit_loss=dict(tau=4, type='KLDivergence'),
                num_branches=2,
                type='mmdskd.DSKDLoss'),
            loss_kd=dict(tau=4, type='KLDivergence')),
        loss_forward_mappings=dict(
            loss_dskd=dict(
                branches=dict(
                    connector='heads', from_student=True, recorder='shallow'),
                feat_T=dict(from_student=False, recorder='feat'),
                gt_labels=dict(
                    data_idx=1, from_student=True, recorder='gt_labels'),
                preds_T=dict(from_student=False, recorder='logits')),
            loss_kd=dict(
                preds_S=dict(from_student=True, recorder='logits'),
                preds_T=dict(from_student=False, recorder='logits'))),
        student_recorders=dict(
            gt_labels=dict(source='head.loss_module', type='ModuleInputs'),
            logits=dict(source='head.fc', type='ModuleOutputs'),
            shallow=dict(
                sources=[
                    'backbone.layer1',
                    'backbone.layer2',
                ],
                type='mmdskd.MultiModuleOutputs')),
        teacher_recorders=dict(
            feat=dict(source='backbone.layer3', type='ModuleOutputs'),
            logits=dict(source='head.fc', type='ModuleOutputs')),
        type='ConfigurableDistiller'),
    teacher=dict(
        _scope_='mmpretrain',
        backbone=dict(
            depth=8,
            in_channels=1,
            stage_channels=(
                4,
                8,
                16,
            ),
            stem_channels=4,
            type='mmdskd.CIFARResNet'),
        head=dict(
            in_channels=16,
            init_cfg=dict(layer='Linear', std=1, type='Normal'),
            loss=dict(type='CrossEntropyLoss'),
            num_classes=10,
            type='LinearClsHead'),
        neck=dict(type='GlobalAveragePooling'),
        type='ImageClassifier'),
    type='mmdskd.FrozenTeacherDistill')
optim_wrapper = dict(optimizer=dict(lr=0.05, momentum=0.9, type='SGD'))
randomness = dict(seed=0)
train_cfg = dict(by_epoch=True, max_epochs=1)
train_dataloader = dict(
    batch_size=20,
    dataset=dict(
        indices=20,
        pipeline=[
            dict(scale=16, type='mmpretrain.Resize'),
            dict(type='mmpretrain.PackInputs'),
        ],
        split='train',
        type='mmdskd.Digits'),
    num_workers=0,
    sampler=dict(shuffle=True, type='DefaultSampler'))
val_cfg = dict()
val_dataloader = dict(
    batch_size=20,
    dataset=dict(
        indices=20,
        pipeline=[
            dict(scale=16, type='mmpretrain.Resize'),
            dict(type='mmpretrain.PackInputs'),
        ],
        split='test',
        type='mmdskd.Digits'),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = dict(type='mmpretrain.Accuracy')
work_dir = 'run'
