# A first stage of stride 2 brings the compute to what a processor trains in
# minutes: the maps are 14, 7 and 4 pixels wide.
resnet20 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='mmdskd.CIFARResNet', depth=20, in_channels=1, strides=(2, 2, 2)
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
