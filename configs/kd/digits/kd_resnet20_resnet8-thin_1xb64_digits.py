_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet20.py',
    '../../_base_/models/digits/resnet8_thin.py',
    '../../_base_/schedules/digits_30e.py',
    '../../_base_/default_runtime.py',
]

# Train it first: tools/train.py configs/vanilla/digits/resnet20_...py
teacher_ckpt = 'work_dirs/resnet20_1xb64_digits/epoch_40.pth'

model = dict(
    type='mmrazor.SingleTeacherDistill',
    _scope_='mmrazor',
    architecture=_base_.resnet8_thin,
    teacher=_base_.resnet20,
    teacher_ckpt=teacher_ckpt,
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=dict(
            loss_kd=dict(type='KLDivergence', tau=4, loss_weight=1.0)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(from_student=True, recorder='logits'),
                preds_T=dict(from_student=False, recorder='logits')))))

custom_hooks = [dict(type='mmdskd.StudentCheckpointHook')]
