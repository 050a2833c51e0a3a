_base_ = [
    '../../_base_/datasets/digits32_bs16.py',
    '../../_base_/models/digits/wrn40_2.py',
    '../../_base_/models/digits/shufflenetv1.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/digits32_mobile_6e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.shufflenetv1,
    teacher=_base_.wrn40_2,
    teacher_ckpt='work_dirs/wrn40-2_1xb16_digits32/epoch_6.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.relu')),
        connectors=dict(
            heads=dict(
                in_channels=[240, 480],
                strides=[2, 1],
                out_channels=128,
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
