shufflenetv1 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='mmdskd.CIFARShuffleNetV1'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=960,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
