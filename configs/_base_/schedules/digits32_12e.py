# For resnet32x4, which learns late.
_base_ = './digits32_6e.py'

param_scheduler = dict(end=12)
train_cfg = dict(max_epochs=12)
