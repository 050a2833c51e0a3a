_base_ = [
    '../../_base_/datasets/fashion_mnist6k_bs64.py',
    '../../_base_/models/fashion_mnist/resnet18.py',
    '../../_base_/models/fashion_mnist/resnet18_thin.py',
    '../../_base_/distillers/dskd_last.py',
    '../../_base_/schedules/fashion_mnist6k_6e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet18_thin,
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/resnet18_1xb64_fashion-mnist/epoch_6.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(
                sources=[
                    'backbone.layer1',
                    'backbone.layer2',
                    'backbone.layer3',
                ]
            ),
            last_feat=dict(source='backbone.layer4'),
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer4')),
        connectors=dict(
            heads=dict(
                in_channels=[4, 8, 16],
                strides=[4, 2, 1],
                out_channels=128,
                num_classes=10,
            ),
            last=dict(in_channel=32, out_channel=128),
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=3)),
    ),
)
