from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.cifar100_bs64 import *  # noqa: F403
    from ..._base_.default_runtime import *  # noqa: F403
    from ..._base_.distillers.dskd import *  # noqa: F403
    from ..._base_.distillers.dskd import model
    from ..._base_.models.cifar100.resnet8x4 import resnet8x4
    from ..._base_.models.cifar100.resnet32x4 import resnet32x4
    from ..._base_.schedules.cifar100_240e import *  # noqa: F403

model.update(
    dict(
        architecture=resnet8x4,
        teacher=resnet32x4,
        teacher_ckpt='work_dirs/resnet32x4_1xb64_cifar100/epoch_240.pth',
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
            distill_losses=dict(loss_dskd=dict(num_branches=2)),
        ),
    )
)
