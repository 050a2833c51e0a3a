_base_ = './dskd_resnet20_resnet8-thin_1xb64_digits.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_dskd=dict(
                label_loss=dict(
                    type='mmpretrain.CrossEntropyLoss', loss_weight=1.0
                )
            )
        )
    )
)
