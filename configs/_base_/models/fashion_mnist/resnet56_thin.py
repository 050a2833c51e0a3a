# Deep and thin: a quarter of the channels of resnet20.
resnet56_thin = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='mmdskd.CIFARResNet',
        depth=56,
        in_channels=1,
        stem_channels=4,
        stage_channels=(4, 8, 16),
        strides=(2, 2, 2),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=16,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
