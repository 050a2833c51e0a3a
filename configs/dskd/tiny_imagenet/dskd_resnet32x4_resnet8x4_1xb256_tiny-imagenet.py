_base_ = [
    '../../_base_/datasets/tiny_imagenet_bs256.py',
    '../../_base_/models/tiny_imagenet/resnet32x4.py',
    '../../_base_/models/tiny_imagenet/resnet8x4.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/tiny_imagenet_200e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet8x4,
    teacher=_base_.resnet32x4,
    teacher_ckpt='work_dirs/resnet32x4_1xb256_tiny-imagenet/epoch_200.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        connectors=dict(
            heads=dict(
                in_channels=[64, 128],
                strides=[4, 2],
                out_channels=256,
                num_classes=200,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=2)),
    ),
)
