_base_ = [
    '../../_base_/datasets/digits32_bs16.py',
    '../../_base_/models/digits/resnet32x4.py',
    '../../_base_/schedules/digits32_12e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet32x4
