# What configs/mix/digits/prune-fisher_resnet20_1xb64_digits.py leaves of
# resnet20.
_base_ = './resnet20.py'

resnet20_fisher = dict(
    _scope_='mmrazor',
    type='sub_model',
    mode='mutator',
    cfg=_base_.resnet20,
    fix_subnet='work_dirs/prune-fisher_resnet20_1xb64_digits/fix_subnet.json',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/prune-fisher_resnet20_1xb64_digits/'
        'fix_subnet_weight.pth',
        prefix='architecture.',
    ),
)
