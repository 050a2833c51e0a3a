_base_ = '../cifar100/resnet20.py'

resnet20 = dict(head=dict(num_classes=200))
