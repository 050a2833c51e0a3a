_base_ = [
    '../../models/fashion_mnist/resnet18.py',
    '../../models/fashion_mnist/resnet18_thin.py',
    '../../distillers/kd.py',
]

model = dict(
    architecture=_base_.resnet18_thin,
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/resnet18_1xb64_fashion-mnist/epoch_6.pth',
)
