# Recovers the pruned network under the network that it was.
_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet32x4_fisher.py',
    '../../_base_/distillers/dskd.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet32x4_fisher,
    teacher=_base_.resnet32x4,
    teacher_ckpt='work_dirs/resnet32x4_1xb64_cifar100/epoch_240.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer3')),
        # Group Fisher decides on the widths.
        connectors=dict(heads=dict(in_channels='auto')),
        distill_losses=dict(loss_dskd=dict(num_branches=2)),
    ),
)
