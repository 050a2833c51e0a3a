_base_ = [
    '../../_base_/datasets/imagenet_bs32.py',
    '../../_base_/models/imagenet/resnet34.py',
    '../../_base_/models/imagenet/resnet18.py',
    '../../_base_/distillers/dskd.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet18,
    teacher=_base_.resnet34,
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet34_8xb32_in1k_20210831-f257d4e6.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(
                sources=[
                    'backbone.layer1',
                    'backbone.layer2',
                    'backbone.layer3',
                ]
            )
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer4')),
        connectors=dict(
            heads=dict(
                in_channels=[64, 128, 256],
                strides=[8, 4, 2],
                out_channels=512,
                num_classes=1000,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=3)),
    ),
)
