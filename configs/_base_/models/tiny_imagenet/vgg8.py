_base_ = '../cifar100/vgg8.py'

vgg8 = dict(head=dict(num_classes=200))
