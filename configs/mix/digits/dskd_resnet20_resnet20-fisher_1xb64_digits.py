# Recovers the pruned network under the network that it was.
_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet20_fisher.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/digits_30e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet20_fisher,
    teacher=_base_.resnet20,
    teacher_ckpt='work_dirs/resnet20_1xb64_digits/epoch_40.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        # Group Fisher decides on the widths.
        connectors=dict(heads=dict(in_channels='auto')),
        distill_losses=dict(
            loss_dskd=dict(
                num_branches=2,
                logit_loss=dict(loss_weight=0.3),
                feat_loss=dict(loss_weight=10.0),
            )
        ),
    ),
)
