_base_ = [
    '../../_base_/datasets/digits_bs64_strong.py',
    '../../_base_/models/digits/resnet20.py',
    '../../_base_/schedules/digits_40e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet20
