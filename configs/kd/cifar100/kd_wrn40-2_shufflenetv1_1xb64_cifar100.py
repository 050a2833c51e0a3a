_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/wrn40_2.py',
    '../../_base_/models/cifar100/shufflenetv1.py',
    '../../_base_/distillers/kd.py',
    '../../_base_/schedules/cifar100_240e_mobile.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.shufflenetv1,
    teacher=_base_.wrn40_2,
    teacher_ckpt='work_dirs/wrn40-2_1xb64_cifar100/epoch_240.pth',
)
