_base_ = [
    '../../_base_/datasets/tiny_imagenet_bs256.py',
    '../../_base_/models/tiny_imagenet/vgg13.py',
    '../../_base_/models/tiny_imagenet/mobilenetv2.py',
    '../../_base_/distillers/kd.py',
    '../../_base_/schedules/tiny_imagenet_200e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.mobilenetv2,
    teacher=_base_.vgg13,
    teacher_ckpt='work_dirs/vgg13_1xb256_tiny-imagenet/epoch_200.pth',
)
