# Half the channels of the field's mobilenetv2. The last layer keeps its width.
mobilenetv2_thin = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='mmdskd.CIFARMobileNetV2', widen_factor=0.25, in_channels=1
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
