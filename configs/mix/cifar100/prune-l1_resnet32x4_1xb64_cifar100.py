# Half of the channels of resnet32x4 stay: those of the largest L1 norm. The
# others go in five steps, with an epoch of training after each. It leaves
# fix_subnet.json and fix_subnet_weight.pth in the work_dir.
_base_ = [
    '../../_base_/datasets/cifar100_bs64.py',
    '../../_base_/models/cifar100/resnet32x4.py',
    '../../_base_/schedules/cifar100_240e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    _scope_='mmrazor',
    type='ItePruneAlgorithm',
    architecture=dict(
        **_base_.resnet32x4,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/resnet32x4_1xb64_cifar100/epoch_240.pth',
        ),
    ),
    mutator_cfg=dict(
        type='ChannelMutator',
        channel_unit_cfg=dict(
            type='L1MutableChannelUnit', default_args=dict(choice_mode='ratio')
        ),
        parse_cfg=dict(
            type='ChannelAnalyzer',
            demo_input=(1, 3, 32, 32),
            tracer_type='FxTracer',
        ),
    ),
    target_pruning_ratio={
        'backbone.conv1_(0, 32)_32': 0.5,
        'backbone.layer1.0.conv1_(0, 64)_64': 0.5,
        'backbone.layer1.0.conv2_(0, 64)_64': 0.5,  # and the shortcuts
        'backbone.layer1.1.conv1_(0, 64)_64': 0.5,
        'backbone.layer1.2.conv1_(0, 64)_64': 0.5,
        'backbone.layer1.3.conv1_(0, 64)_64': 0.5,
        'backbone.layer1.4.conv1_(0, 64)_64': 0.5,
        'backbone.layer2.0.conv1_(0, 128)_128': 0.5,
        'backbone.layer2.0.conv2_(0, 128)_128': 0.5,  # and the shortcuts
        'backbone.layer2.1.conv1_(0, 128)_128': 0.5,
        'backbone.layer2.2.conv1_(0, 128)_128': 0.5,
        'backbone.layer2.3.conv1_(0, 128)_128': 0.5,
        'backbone.layer2.4.conv1_(0, 128)_128': 0.5,
        'backbone.layer3.0.conv1_(0, 256)_256': 0.5,
        'backbone.layer3.0.conv2_(0, 256)_256': 0.5,  # and the shortcuts
        'backbone.layer3.1.conv1_(0, 256)_256': 0.5,
        'backbone.layer3.2.conv1_(0, 256)_256': 0.5,
        'backbone.layer3.3.conv1_(0, 256)_256': 0.5,
        'backbone.layer3.4.conv1_(0, 256)_256': 0.5,
    },
    step_freq=1,
    prune_times=5,
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = None
train_cfg = dict(max_epochs=5)
val_cfg = dict(type='mmrazor.ItePruneValLoop')
