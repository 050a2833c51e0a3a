# Another reading of the allocation, that of a public port by readers of the
# paper's text, and not the paper itself: the last layer of the student is one
# more branch in the same softmax, which is a plain one, and the weights of all
# branches sum to 1. KD on the last layer is its logit term, so there is no
# loss_kd. The smoothing of the losses is as in dskd.py.
# A leaf takes this in place of dskd.py, and sets beside what that needs the
# source of student_recorders.last_feat, and in_channel and out_channel of
# connectors.last: the last feature of the student becomes one of the shape of
# the teacher's by a 1x1 convolution with batch norm and ReLU, as the heads do.
_base_ = './dskd.py'

model = dict(
    distiller=dict(
        student_recorders=dict(last_feat=dict(type='ModuleOutputs')),
        connectors=dict(
            last=dict(type='ConvModuleConnector', norm_cfg=dict(type='BN'))
        ),
        distill_losses=dict(
            _delete_=True,
            loss_dskd=dict(
                last_layer=True,
                reduction='mean',
                **_base_.model.distiller.distill_losses.loss_dskd,
            ),
        ),
        loss_forward_mappings=dict(
            _delete_=True,
            loss_dskd=dict(
                preds_S=dict(from_student=True, recorder='logits'),
                feat_S=dict(
                    from_student=True, recorder='last_feat', connector='last'
                ),
                **_base_.model.distiller.loss_forward_mappings.loss_dskd,
            ),
        ),
    )
)

custom_hooks = [
    dict(
        type='mmdskd.LossWeightSchedulerHook',
        loss='loss_dskd',
        strategy=dict(type='softmax', normalize=False),
        ema_decay=0.9,
        interval=1,
    ),
    *(
        hook
        for hook in _base_.custom_hooks
        if hook.type != 'mmdskd.LossWeightSchedulerHook'
    ),
]
