_base_ = '../cifar100/mobilenetv2.py'

mobilenetv2 = dict(head=dict(num_classes=200))
