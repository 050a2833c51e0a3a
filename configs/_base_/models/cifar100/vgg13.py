vgg13 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='mmdskd.CIFARVGG', depth=13),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
