_base_ = '../cifar100/resnet8x4.py'

resnet8x4 = dict(backbone=dict(in_channels=1), head=dict(num_classes=10))
