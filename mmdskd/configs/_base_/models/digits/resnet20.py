from mmpretrain.models import (
    CrossEntropyLoss,
    GlobalAveragePooling,
    ImageClassifier,
    LinearClsHead,
)

from mmdskd.models import CIFARResNet

resnet20 = dict(
    type=ImageClassifier,
    backbone=dict(type=CIFARResNet, depth=20, in_channels=1),
    neck=dict(type=GlobalAveragePooling),
    head=dict(
        type=LinearClsHead,
        num_classes=10,
        in_channels=64,
        loss=dict(type=CrossEntropyLoss),
    ),
)
