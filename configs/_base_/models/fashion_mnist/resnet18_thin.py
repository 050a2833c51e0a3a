_base_ = '../digits/resnet18_thin.py'

resnet18_thin = dict(backbone=dict(strides=(2, 2, 2, 1)))
