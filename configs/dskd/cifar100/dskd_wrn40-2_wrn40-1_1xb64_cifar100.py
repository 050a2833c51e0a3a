_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/wrn40_2.py',
    '../../_base_/models/cifar100/wrn40_1.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.wrn40_1,
    teacher=_base_.wrn40_2,
    teacher_ckpt='work_dirs/wrn40-2_1xb64_cifar100/epoch_240.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.relu')),
        connectors=dict(
            heads=dict(
                in_channels=[16, 32],
                strides=[4, 2],
                out_channels=128,
                num_classes=100,
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=2)),
    ),
)
