# Logits KD. A leaf sets architecture, teacher and teacher_ckpt.
# With mmrazor.SingleTeacherDistill as the type it trains alike, with the
# teacher in each checkpoint.
model = dict(
    type='mmdskd.FrozenTeacherDistill',
    _scope_='mmrazor',
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head.fc')
        ),
        teacher_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head.fc')
        ),
        distill_losses=dict(
            loss_kd=dict(type='KLDivergence', tau=4, loss_weight=1.0)
        ),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(from_student=True, recorder='logits'),
                preds_T=dict(from_student=False, recorder='logits'),
            )
        ),
    ),
)

custom_hooks = [
    dict(type='mmdskd.StudentCheckpointHook'),
    dict(type='mmdskd.TeacherEvaluationHook'),
]
