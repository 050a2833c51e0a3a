_base_ = '../cifar100/vgg13.py'

vgg13 = dict(head=dict(num_classes=200))
