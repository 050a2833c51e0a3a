_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet20.py',
    '../../_base_/models/digits/resnet8_thin.py',
    '../../_base_/distillers/dskd_last.py',
    '../../_base_/schedules/digits_30e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet8_thin,
    teacher=_base_.resnet20,
    teacher_ckpt='work_dirs/resnet20_1xb64_digits/epoch_40.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2']),
            last_feat=dict(source='backbone.layer3'),
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        connectors=dict(
            heads=dict(
                in_channels=[4, 8],
                strides=[4, 2],
                out_channels=64,
                num_classes=10,
            ),
            last=dict(in_channel=16, out_channel=64),
        ),
        distill_losses=dict(
            loss_dskd=dict(
                num_branches=2,
                logit_loss=dict(loss_weight=0.3),
                feat_loss=dict(loss_weight=10.0),
            )
        ),
    ),
)
