from mmpretrain.models import (
    CrossEntropyLoss,
    GlobalAveragePooling,
    ImageClassifier,
    LinearClsHead,
)

from mmdskd.models import CIFARResNet

resnet8_thin = dict(
    type=ImageClassifier,
    backbone=dict(
        type=CIFARResNet,
        depth=8,
        in_channels=1,
        stem_channels=4,
        stage_channels=(4, 8, 16),
    ),
    neck=dict(type=GlobalAveragePooling),
    head=dict(
        type=LinearClsHead,
        num_classes=10,
        in_channels=16,
        loss=dict(type=CrossEntropyLoss),
    ),
)
