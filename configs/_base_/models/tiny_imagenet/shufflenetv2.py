_base_ = '../cifar100/shufflenetv2.py'

shufflenetv2 = dict(head=dict(num_classes=200))
