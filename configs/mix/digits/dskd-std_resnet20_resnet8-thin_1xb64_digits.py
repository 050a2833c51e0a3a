# KL of standardised logits, on the last layer and on the branches.
_base_ = '../../dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(type='mmdskd.StandardizedKLDivergence', tau=2),
            loss_dskd=dict(
                logit_loss=dict(type='mmdskd.StandardizedKLDivergence', tau=2)
            ),
        )
    )
)
