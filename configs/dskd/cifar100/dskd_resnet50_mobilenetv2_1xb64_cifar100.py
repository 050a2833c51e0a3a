_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet50.py',
    '../../_base_/models/cifar100/mobilenetv2.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/cifar100_240e_mobile.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.mobilenetv2,
    teacher=_base_.resnet50,
    teacher_ckpt='work_dirs/resnet50_1xb64_cifar100/epoch_240.pth',
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
                in_channels=[12, 16, 48],
                strides=[4, 2, 1],
                out_channels=2048,
                num_classes=100,
                # 128 channels, see docs/branches.md
                head=dict(type='mmdskd.SepConvHead', bottleneck_ratio=0.0625),
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=3)),
    ),
)
