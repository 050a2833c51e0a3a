# DSKD on top of logits KD: every stage of the student but the last gets a
# head, which the teacher's predictions and its last feature map supervise.
# A leaf sets, beside what kd.py needs, what depends on the pair: sources,
# in_channels, strides, out_channels, num_classes and num_branches.
# The weight of the features is from the tuning splits of the digits and of
# Fashion-MNIST, where MSE starts at a tenth of KL (docs/benchmarks.md). On
# other data sets it is untried: compare dskd.feat_0 in the log.
_base_ = './kd.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            shallow=dict(type='mmdskd.MultiModuleOutputs'),
            gt_labels=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        teacher_recorders=dict(feat=dict(type='ModuleOutputs')),
        connectors=dict(heads=dict(type='mmdskd.DSKDConnector')),
        distill_losses=dict(
            loss_dskd=dict(
                type='mmdskd.DSKDLoss',
                logit_loss=dict(type='KLDivergence', tau=4, loss_weight=1.0),
                feat_loss=dict(
                    type='L2Loss',
                    normalize=False,
                    div_element=True,
                    loss_weight=30.0,
                ),
            )
        ),  # = MSE
        loss_forward_mappings=dict(
            loss_dskd=dict(
                branches=dict(
                    from_student=True, recorder='shallow', connector='heads'
                ),
                preds_T=dict(from_student=False, recorder='logits'),
                feat_T=dict(from_student=False, recorder='feat'),
                gt_labels=dict(
                    from_student=True, recorder='gt_labels', data_idx=1
                ),
            )
        ),
    )
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
    dict(type='mmdskd.TeacherEvaluationHook'),
]
