# Logits KD, and DSKD on top of it: every stage of the student but the last
# gets a head, which the teacher's predictions and its last feature map
# supervise. A leaf sets architecture, teacher and teacher_ckpt, and what
# depends on the pair: sources, in_channels, strides, out_channels,
# num_classes and num_branches.
from mmrazor.models import ConfigurableDistiller, KLDivergence, L2Loss

from mmdskd.engine import (
    LossWeightSchedulerHook,
    StudentCheckpointHook,
    TeacherEvaluationHook,
)
from mmdskd.models import DSKDConnector, DSKDLoss, FrozenTeacherDistill

model = dict(
    type=FrozenTeacherDistill,
    distiller=dict(
        type=ConfigurableDistiller,
        # The types of recorders stay strings: MMRazor appends "Recorder" to
        # them. Without a `_scope_`, which the classes don't need, these need
        # the name of their package.
        student_recorders=dict(
            logits=dict(type='mmrazor.ModuleOutputs', source='head.fc'),
            shallow=dict(type='mmdskd.MultiModuleOutputs'),
            gt_labels=dict(
                type='mmrazor.ModuleInputs', source='head.loss_module'
            ),
        ),
        teacher_recorders=dict(
            logits=dict(type='mmrazor.ModuleOutputs', source='head.fc'),
            feat=dict(type='mmrazor.ModuleOutputs'),
        ),
        connectors=dict(heads=dict(type=DSKDConnector)),
        distill_losses=dict(
            loss_kd=dict(type=KLDivergence, tau=4, loss_weight=1.0),
            loss_dskd=dict(
                type=DSKDLoss,
                logit_loss=dict(type=KLDivergence, tau=4, loss_weight=1.0),
                feat_loss=dict(
                    type=L2Loss,
                    normalize=False,
                    div_element=True,
                    loss_weight=1.0,
                ),
            ),
        ),  # = MSE
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(from_student=True, recorder='logits'),
                preds_T=dict(from_student=False, recorder='logits'),
            ),
            loss_dskd=dict(
                branches=dict(
                    from_student=True, recorder='shallow', connector='heads'
                ),
                preds_T=dict(from_student=False, recorder='logits'),
                feat_T=dict(from_student=False, recorder='feat'),
                gt_labels=dict(
                    from_student=True, recorder='gt_labels', data_idx=1
                ),
            ),
        ),
    ),
)

custom_hooks = [
    dict(
        type=LossWeightSchedulerHook,
        loss='loss_dskd',
        strategy='softmax',
        ema_decay=0.9,
        interval=1,
    ),
    dict(type=StudentCheckpointHook),
    dict(type=TeacherEvaluationHook),
]
