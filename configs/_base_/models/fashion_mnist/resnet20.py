resnet20 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='mmdskd.CIFARResNet', depth=20, in_channels=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
