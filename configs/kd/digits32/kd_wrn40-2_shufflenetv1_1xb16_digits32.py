_base_ = [
    '../../_base_/datasets/digits32_bs16.py',
    '../../_base_/models/digits/wrn40_2.py',
    '../../_base_/models/digits/shufflenetv1.py',
    '../../_base_/distillers/kd.py',
    '../../_base_/schedules/digits32_mobile_6e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.shufflenetv1,
    teacher=_base_.wrn40_2,
    teacher_ckpt='work_dirs/wrn40-2_1xb16_digits32/epoch_6.pth',
)
