_base_ = './dskd_resnet20_resnet8-thin_1xb64_digits.py'

custom_hooks = [
    dict(
        type='mmdskd.LossWeightSchedulerHook',
        loss='loss_dskd',
        strategy='inverse',
    ),
    *(
        hook
        for hook in _base_.custom_hooks
        if hook.type != 'mmdskd.LossWeightSchedulerHook'
    ),
]
