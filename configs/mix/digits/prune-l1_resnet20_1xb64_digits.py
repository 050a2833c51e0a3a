# A quarter of the channels of resnet20 stay: those of the largest L1 norm. The
# others go in five steps, with an epoch of training after each. It leaves
# fix_subnet.json and fix_subnet_weight.pth in the work_dir.
_base_ = [
    '../../_base_/datasets/digits_bs64.py',
    '../../_base_/models/digits/resnet20.py',
    '../../_base_/schedules/digits_40e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    _scope_='mmrazor',
    type='ItePruneAlgorithm',
    architecture=dict(
        **_base_.resnet20,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/resnet20_1xb64_digits/epoch_40.pth',
        ),
    ),
    mutator_cfg=dict(
        type='ChannelMutator',
        channel_unit_cfg=dict(
            type='L1MutableChannelUnit', default_args=dict(choice_mode='ratio')
        ),
        parse_cfg=dict(
            type='ChannelAnalyzer',
            demo_input=(1, 1, 16, 16),
            tracer_type='FxTracer',
        ),
    ),
    target_pruning_ratio={
        'backbone.conv1_(0, 16)_16': 0.25,  # and the shortcuts of layer1
        'backbone.layer1.0.conv1_(0, 16)_16': 0.25,
        'backbone.layer1.1.conv1_(0, 16)_16': 0.25,
        'backbone.layer1.2.conv1_(0, 16)_16': 0.25,
        'backbone.layer2.0.conv1_(0, 32)_32': 0.25,
        'backbone.layer2.0.conv2_(0, 32)_32': 0.25,  # and the shortcuts
        'backbone.layer2.1.conv1_(0, 32)_32': 0.25,
        'backbone.layer2.2.conv1_(0, 32)_32': 0.25,
        'backbone.layer3.0.conv1_(0, 64)_64': 0.25,
        'backbone.layer3.0.conv2_(0, 64)_64': 0.25,  # and the shortcuts
        'backbone.layer3.1.conv1_(0, 64)_64': 0.25,
        'backbone.layer3.2.conv1_(0, 64)_64': 0.25,
    },
    step_freq=1,
    prune_times=5,
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = None
train_cfg = dict(max_epochs=5)
val_cfg = dict(type='mmrazor.ItePruneValLoop')
