_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet18_thin.py',
    '../../_base_/schedules/digits_8e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet18_thin
