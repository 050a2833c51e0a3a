_base_ = [
    '../../models/fashion_mnist/resnet20.py',
    '../../models/fashion_mnist/resnet56_thin.py',
    '../../distillers/kd.py',
]

model = dict(
    architecture=_base_.resnet56_thin,
    teacher=_base_.resnet20,
    teacher_ckpt='work_dirs/resnet20_1xb64_fashion-mnist/epoch_6.pth',
)
