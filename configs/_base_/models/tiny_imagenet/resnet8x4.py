_base_ = '../cifar100/resnet8x4.py'

resnet8x4 = dict(head=dict(num_classes=200))
