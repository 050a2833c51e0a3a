_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet20.py',
    '../../_base_/models/digits/resnet8_thin.py',
    '../../_base_/distillers/kd.py',
    '../../_base_/schedules/digits_30e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet8_thin,
    teacher=_base_.resnet20,
    teacher_ckpt='work_dirs/resnet20_1xb64_digits/epoch_40.pth',
)
