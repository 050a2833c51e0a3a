_base_ = '../cifar100/wrn16_2.py'

wrn16_2 = dict(head=dict(num_classes=200))
