_base_ = '../cifar100/shufflenetv1.py'

shufflenetv1 = dict(backbone=dict(in_channels=1), head=dict(num_classes=10))
