_base_ = '../../kd/cifar100/kd_resnet32x4_resnet8x4_1xb64_cifar100.py'

# On top of logits KD at the final layer: every stage but the last gets a
# head, which the teacher's predictions and its last feature map supervise.
model = dict(
    distiller=dict(
        student_recorders=dict(
            shallow=dict(
                type='mmdskd.MultiModuleOutputs',
                sources=['backbone.layer1', 'backbone.layer2']),
            gt_labels=dict(type='ModuleInputs', source='head.loss_module')),
        teacher_recorders=dict(
            feat=dict(type='ModuleOutputs', source='backbone.layer3')),
        connectors=dict(
            heads=dict(
                type='mmdskd.DSKDConnector',
                in_channels=[64, 128],
                strides=[4, 2],
                out_channels=256,
                num_classes=100)),
        distill_losses=dict(
            loss_dskd=dict(
                type='mmdskd.DSKDLoss',
                num_branches=2,
                logit_loss=dict(type='KLDivergence', tau=4, loss_weight=1.0),
                feat_loss=dict(
                    type='L2Loss',
                    normalize=False,
                    div_element=True,
                    loss_weight=1.0))),  # = MSE
        loss_forward_mappings=dict(
            loss_dskd=dict(
                branches=dict(
                    from_student=True, recorder='shallow', connector='heads'),
                preds_T=dict(from_student=False, recorder='logits'),
                feat_T=dict(from_student=False, recorder='feat'),
                gt_labels=dict(
                    from_student=True, recorder='gt_labels', data_idx=1)))))

custom_hooks = [
    dict(
        type='mmdskd.LossWeightSchedulerHook',
        loss='loss_dskd',
        strategy='softmax',
        ema_decay=0.9,
        interval=1),
    dict(type='mmdskd.StudentCheckpointHook')
]
