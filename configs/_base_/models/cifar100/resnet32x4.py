resnet32x4 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='mmdskd.CIFARResNet',
        depth=32,
        stem_channels=32,
        stage_channels=(64, 128, 256),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=256,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
