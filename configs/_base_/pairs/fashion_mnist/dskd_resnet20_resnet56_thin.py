_base_ = [
    '../../models/fashion_mnist/resnet20.py',
    '../../models/fashion_mnist/resnet56_thin.py',
    '../../distillers/dskd.py',
]

model = dict(
    architecture=_base_.resnet56_thin,
    teacher=_base_.resnet20,
    teacher_ckpt='work_dirs/resnet20_1xb64_fashion-mnist/epoch_6.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        connectors=dict(
            heads=dict(
                in_channels=[4, 8],
                strides=[4, 2],
                out_channels=64,
                num_classes=10,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=2)),
    ),
)
