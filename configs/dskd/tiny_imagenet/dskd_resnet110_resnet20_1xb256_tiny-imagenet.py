_base_ = [
    '../../_base_/datasets/tiny_imagenet_bs256.py',
    '../../_base_/models/tiny_imagenet/resnet110.py',
    '../../_base_/models/tiny_imagenet/resnet20.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/tiny_imagenet_200e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet20,
    teacher=_base_.resnet110,
    teacher_ckpt='work_dirs/resnet110_1xb256_tiny-imagenet/epoch_200.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        connectors=dict(
            heads=dict(
                in_channels=[16, 32],
                strides=[4, 2],
                out_channels=64,
                num_classes=200,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=2)),
    ),
)
