_base_ = '../cifar100/resnet110.py'

resnet110 = dict(head=dict(num_classes=200))
