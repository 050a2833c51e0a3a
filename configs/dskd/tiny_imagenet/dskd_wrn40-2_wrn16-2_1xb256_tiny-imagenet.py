_base_ = [
    '../../_base_/datasets/tiny_imagenet_bs256.py',
    '../../_base_/models/tiny_imagenet/wrn40_2.py',
    '../../_base_/models/tiny_imagenet/wrn16_2.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/tiny_imagenet_200e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.wrn16_2,
    teacher=_base_.wrn40_2,
    teacher_ckpt='work_dirs/wrn40-2_1xb256_tiny-imagenet/epoch_200.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.relu')),
        connectors=dict(
            heads=dict(
                in_channels=[32, 64],
                strides=[4, 2],
                out_channels=128,
                num_classes=200,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=2)),
    ),
)
