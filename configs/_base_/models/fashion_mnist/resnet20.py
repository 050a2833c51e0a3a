# A first stage of stride 2 brings the compute to what a processor trains in
# minutes: the maps are 14, 7 and 4 pixels wide.
_base_ = '../digits/resnet20.py'

resnet20 = dict(backbone=dict(strides=(2, 2, 2)))
