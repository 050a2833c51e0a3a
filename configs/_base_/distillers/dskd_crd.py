# The protocol of CRD and mdistiller: CE 0.1 + KL 0.9, in place of 1 + 1.
_base_ = './dskd.py'

model = dict(
    architecture=dict(head=dict(loss=dict(loss_weight=0.1))),
    distiller=dict(distill_losses=dict(loss_kd=dict(loss_weight=0.9))),
)
