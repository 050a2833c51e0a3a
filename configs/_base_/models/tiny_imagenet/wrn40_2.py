_base_ = '../cifar100/wrn40_2.py'

wrn40_2 = dict(head=dict(num_classes=200))
