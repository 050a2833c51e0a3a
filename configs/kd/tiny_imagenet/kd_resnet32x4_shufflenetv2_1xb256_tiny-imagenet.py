_base_ = [
    '../../_base_/datasets/tiny_imagenet_bs256.py',
    '../../_base_/models/tiny_imagenet/resnet32x4.py',
    '../../_base_/models/tiny_imagenet/shufflenetv2.py',
    '../../_base_/distillers/kd.py',
    '../../_base_/schedules/tiny_imagenet_200e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.shufflenetv2,
    teacher=_base_.resnet32x4,
    teacher_ckpt='work_dirs/resnet32x4_1xb256_tiny-imagenet/epoch_200.pth',
)
