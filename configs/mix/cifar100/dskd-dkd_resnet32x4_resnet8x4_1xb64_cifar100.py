# DKD in place of KL: on the last layer, and between branches and teacher,
# as mdistiller weighs it for this pair (but for the warm-up of 20 epochs).
_base_ = '../../dskd/cifar100/dskd_resnet32x4_resnet8x4_1xb64_cifar100.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(type='DKDLoss', beta=8.0),
            loss_dskd=dict(logit_loss=dict(type='DKDLoss', beta=8.0)),
        ),
        loss_forward_mappings=dict(
            loss_kd=dict(
                gt_labels=dict(
                    from_student=True, recorder='gt_labels', data_idx=1
                )
            )
        ),
    )
)
