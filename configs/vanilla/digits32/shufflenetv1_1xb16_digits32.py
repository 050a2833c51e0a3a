_base_ = [
    '../../_base_/datasets/digits32_bs16.py',
    '../../_base_/models/digits/shufflenetv1.py',
    '../../_base_/schedules/digits32_mobile_6e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.shufflenetv1
