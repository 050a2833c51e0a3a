_base_ = [
    '../../_base_/datasets/digits32_bs16.py',
    '../../_base_/models/digits/wrn40_2.py',
    '../../_base_/schedules/digits32_6e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.wrn40_2
