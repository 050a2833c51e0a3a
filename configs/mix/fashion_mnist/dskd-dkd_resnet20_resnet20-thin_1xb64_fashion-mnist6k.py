# DKD in place of KL: on the last layer, and between branches and teacher.
_base_ = (
    '../../dskd/fashion_mnist/'
    'dskd_resnet20_resnet20-thin_1xb64_fashion-mnist6k.py'
)

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(type='DKDLoss', beta=1.0),
            loss_dskd=dict(logit_loss=dict(type='DKDLoss', beta=1.0)),
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
