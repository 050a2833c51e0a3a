from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.digits_bs64 import *  # noqa: F403
    from ..._base_.default_runtime import *  # noqa: F403
    from ..._base_.distillers.dskd import *  # noqa: F403
    from ..._base_.distillers.dskd import model
    from ..._base_.models.digits.resnet8_thin import resnet8_thin
    from ..._base_.models.digits.resnet20 import resnet20
    from ..._base_.schedules.digits_30e import *  # noqa: F403

model.update(
    dict(
        architecture=resnet8_thin,
        teacher=resnet20,
        teacher_ckpt='work_dirs/resnet20_1xb64_digits/epoch_40.pth',
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
            distill_losses=dict(
                loss_dskd=dict(
                    num_branches=2,
                    logit_loss=dict(loss_weight=0.3),
                    feat_loss=dict(loss_weight=10.0),
                )
            ),
        ),
    )
)
