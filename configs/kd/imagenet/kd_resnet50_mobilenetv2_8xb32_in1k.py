_base_ = [
    '../../_base_/datasets/imagenet_bs32_pil_resize.py',
    '../../_base_/models/imagenet/resnet50.py',
    '../../_base_/models/imagenet/mobilenetv2.py',
    '../../_base_/distillers/kd.py',
    'mmpretrain::_base_/schedules/imagenet_bs256_epochstep.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.mobilenetv2,
    teacher=_base_.resnet50,
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb32_in1k_20210831-ea4938fc.pth',
)
