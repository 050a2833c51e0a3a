# The maps are 14, 7, 4 and 4 pixels wide, for training on a processor.
_base_ = '../digits/resnet18.py'

resnet18 = dict(backbone=dict(strides=(2, 2, 2, 1)))
