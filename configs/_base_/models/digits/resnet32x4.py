_base_ = '../cifar100/resnet32x4.py'

resnet32x4 = dict(backbone=dict(in_channels=1), head=dict(num_classes=10))
