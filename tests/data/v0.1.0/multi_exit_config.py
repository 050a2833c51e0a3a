custom_hooks = []
custom_imports = dict(
    allow_failed_imports=False, imports=[
        'mmdskd',
    ])
default_hooks = dict(
    checkpoint=dict(interval=1, out_dir='.', type='CheckpointHook'))
default_scope = 'mmpretrain'
model = dict(
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
    data_preprocessor=dict(
        mean=[
            77.7,
        ], std=[
            33.3,
        ], type='mmpretrain.ClsDataPreprocessor'),
    exits=dict(
        connector=dict(
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
            type='mmdskd.DSKDConnector'),
        sources=[
            'backbone.layer1',
            'backbone.layer2',
        ]),
    head=dict(
        in_channels=8,
        init_cfg=dict(layer='Linear', std=1, type='Normal'),
        loss=dict(type='CrossEntropyLoss'),
        num_classes=10,
        type='LinearClsHead'),
    neck=dict(type='GlobalAveragePooling'),
    threshold=0.9,
    type='mmdskd.MultiExitClassifier')
optim_wrapper = dict(optimizer=dict(lr=0.05, momentum=0.9, type='SGD'))
randomness = dict(seed=0)
test_cfg = dict()
test_dataloader = dict(
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
test_evaluator = dict(type='mmpretrain.Accuracy')
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
