_base_ = '../cifar100/wrn40_2.py'

wrn40_2 = dict(backbone=dict(in_channels=1), head=dict(num_classes=10))
