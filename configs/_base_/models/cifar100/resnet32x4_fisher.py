# What configs/mix/cifar100/prune-fisher_resnet32x4_1xb64_cifar100.py leaves of
# resnet32x4.
_base_ = './resnet32x4.py'

resnet32x4_fisher = dict(
    _scope_='mmrazor',
    type='sub_model',
    mode='mutator',
    cfg=_base_.resnet32x4,
    fix_subnet='work_dirs/prune-fisher_resnet32x4_1xb64_cifar100/'
    'fix_subnet.json',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/prune-fisher_resnet32x4_1xb64_cifar100/'
        'fix_subnet_weight.pth',
        prefix='architecture.',
    ),
)
