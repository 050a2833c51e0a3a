# DSKD without a teacher: the last layer of the student supervises the shallow
# ones. There is no KD on the last layer, which would be its own teacher.
_base_ = './dskd.py'

model = dict(
    type='SelfDistill',
    distiller=dict(
        student_recorders=dict(
            _delete_=True,
            shallow=_base_.model.distiller.student_recorders.shallow,
            gt_labels=_base_.model.distiller.student_recorders.gt_labels,
        ),
        distill_losses=dict(
            _delete_=True,
            loss_dskd=_base_.model.distiller.distill_losses.loss_dskd,
        ),
        loss_forward_mappings=dict(
            _delete_=True,
            loss_dskd=_base_.model.distiller.loss_forward_mappings.loss_dskd,
        ),
    ),
)

custom_hooks = [
    dict(
        type='mmdskd.LossWeightSchedulerHook',
        loss='loss_dskd',
        strategy='softmax',
        ema_decay=0.9,
        interval=1,
    ),
    dict(type='mmdskd.StudentCheckpointHook'),
]
