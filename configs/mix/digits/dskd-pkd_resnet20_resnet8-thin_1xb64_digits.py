# PKD in place of MSE, between the features of branches and teacher.
_base_ = '../../dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_dskd=dict(
                feat_loss=dict(_delete_=True, type='PKDLoss', loss_weight=10.0)
            )
        )
    )
)
