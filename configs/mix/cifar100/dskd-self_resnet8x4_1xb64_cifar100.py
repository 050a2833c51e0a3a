_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet8x4.py',
    '../../_base_/distillers/dskd_self.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet8x4,
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
                num_classes=100,
            )
        ),
        distill_losses=dict(
            loss_dskd=dict(
                num_branches=2,
                # It is no good teacher at first, so it teaches little, and
                # the heads learn from the labels, too.
                loss_weight=0.1,
                logit_loss=dict(loss_weight=0.3),
                feat_loss=dict(loss_weight=0.1),
                label_loss=dict(type='mmpretrain.CrossEntropyLoss'),
            )
        ),
    ),
)
