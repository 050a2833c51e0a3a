_base_ = [
    '../../_base_/datasets/digits32_bs16.py',
    '../../_base_/models/digits/resnet32x4.py',
    '../../_base_/models/digits/resnet8x4.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/digits32_6e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet8x4,
    teacher=_base_.resnet32x4,
    teacher_ckpt='work_dirs/resnet32x4_1xb16_digits32/epoch_12.pth',
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
                num_classes=10,
            )
        ),
        distill_losses=dict(
            loss_dskd=dict(
                num_branches=2,
                # The figures of the README are of this weight.
                feat_loss=dict(loss_weight=1.0),
            )
        ),
    ),
)
