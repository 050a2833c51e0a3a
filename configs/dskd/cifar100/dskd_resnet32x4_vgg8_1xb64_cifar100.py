_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet32x4.py',
    '../../_base_/models/cifar100/vgg8.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.vgg8,
    teacher=_base_.resnet32x4,
    teacher_ckpt='work_dirs/resnet32x4_1xb64_cifar100/epoch_240.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(
                sources=[
                    'backbone.layer1',
                    'backbone.layer2',
                    'backbone.layer3',
                    'backbone.layer4',
                ]
            )
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        connectors=dict(
            heads=dict(
                in_channels=[64, 128, 256, 512],
                strides=[4, 2, 1, 0.5],
                out_channels=256,
                num_classes=100,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=4)),
    ),
)
