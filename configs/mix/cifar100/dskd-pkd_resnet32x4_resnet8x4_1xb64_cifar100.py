# PKD in place of MSE, between the features of branches and teacher.
_base_ = '../../dskd/cifar100/dskd_resnet32x4_resnet8x4_1xb64_cifar100.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_dskd=dict(
                feat_loss=dict(_delete_=True, type='PKDLoss', loss_weight=1.0)
            )
        )
    )
)
