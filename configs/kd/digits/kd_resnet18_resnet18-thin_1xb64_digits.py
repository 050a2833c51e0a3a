_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet18.py',
    '../../_base_/models/digits/resnet18_thin.py',
    '../../_base_/distillers/kd.py',
    '../../_base_/schedules/digits_8e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet18_thin,
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/resnet18_1xb64_digits/epoch_40.pth',
)
