_base_ = './dskd_resnet20_resnet8-thin_1xb64_digits.py'

custom_hooks = [
    dict(
        type='mmdskd.LossWeightSchedulerHook',
        loss='loss_dskd',
        # As in its paper: a step is an epoch.
        strategy='dwa',
        ema_decay=0,
        interval=1,
        by_epoch=True,
    ),
    *(
        hook
        for hook in _base_.custom_hooks
        if hook.type != 'mmdskd.LossWeightSchedulerHook'
    ),
]
