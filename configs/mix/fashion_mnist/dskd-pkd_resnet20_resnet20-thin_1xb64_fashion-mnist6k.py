# PKD in place of MSE, between the features of branches and teacher.
_base_ = (
    '../../dskd/fashion_mnist/'
    'dskd_resnet20_resnet20-thin_1xb64_fashion-mnist6k.py'
)

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_dskd=dict(
                feat_loss=dict(_delete_=True, type='PKDLoss', loss_weight=1.0)
            )
        )
    )
)
