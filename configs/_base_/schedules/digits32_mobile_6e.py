# For MobileNetV2 and the ShuffleNets.
_base_ = './digits32_6e.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))
