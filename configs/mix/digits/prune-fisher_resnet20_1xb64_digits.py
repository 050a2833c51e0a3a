# Group Fisher pruning: after each iteration the channel goes whose loss would
# cost least, for what it costs in operations. Of the 384 channels that may go
# (those that the classifier reads stay), 17 epochs of 15 iterations prune 255.
# Leaves fix_subnet.json and fix_subnet_weight.pth in the work_dir.
_base_ = './prune-l1_resnet20_1xb64_digits.py'

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='GroupFisherAlgorithm',
    architecture=_base_.model.architecture,
    interval=1,
    mutator=dict(
        type='GroupFisherChannelMutator',
        channel_unit_cfg=dict(
            type='GroupFisherChannelUnit',
            default_args=dict(normalization_type='flops'),
        ),
        parse_cfg=_base_.model.mutator_cfg.parse_cfg,
    ),
)

model_wrapper_cfg = dict(
    type='mmrazor.GroupFisherDDP', broadcast_buffers=False
)
train_cfg = dict(max_epochs=17, val_interval=17)
