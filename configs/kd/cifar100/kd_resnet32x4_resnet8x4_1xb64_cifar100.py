_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet32x4.py',
    '../../_base_/models/cifar100/resnet8x4.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

# Train it first: tools/train.py configs/vanilla/cifar100/resnet32x4_...py
teacher_ckpt = 'work_dirs/resnet32x4_1xb64_cifar100/epoch_240.pth'

model = dict(
    type='mmrazor.SingleTeacherDistill',
    _scope_='mmrazor',
    architecture=_base_.resnet8x4,
    teacher=_base_.resnet32x4,
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
