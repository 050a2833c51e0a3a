# DIST in place of KL: on the last layer, and between branches and teacher,
# with the weight and temperature of MMRazor's own config of DIST.
_base_ = '../../dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(type='DISTLoss', tau=1, loss_weight=2.0),
            loss_dskd=dict(
                logit_loss=dict(type='DISTLoss', tau=1, loss_weight=2.0)
            ),
        ),
        loss_forward_mappings=dict(
            loss_kd=dict(
                _delete_=True,
                logits_S=dict(from_student=True, recorder='logits'),
                logits_T=dict(from_student=False, recorder='logits'),
            )
        ),
    )
)
