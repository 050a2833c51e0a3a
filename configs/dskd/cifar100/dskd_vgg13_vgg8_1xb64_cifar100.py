_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/vgg13.py',
    '../../_base_/models/cifar100/vgg8.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.vgg8,
    teacher=_base_.vgg13,
    teacher_ckpt='work_dirs/vgg13_1xb64_cifar100/epoch_240.pth',
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
        teacher_recorders=dict(feat=dict(source='backbone.layer5')),
        connectors=dict(
            heads=dict(
                in_channels=[64, 128, 256, 512],
                strides=[8, 4, 2, 1],
                out_channels=512,
                num_classes=100,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=4)),
    ),
)
