_base_ = '../cifar100/resnet32x4.py'

resnet32x4 = dict(head=dict(num_classes=200))
