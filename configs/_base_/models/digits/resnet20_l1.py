# What configs/mix/digits/prune-l1_resnet20_1xb64_digits.py leaves of resnet20.
_base_ = './resnet20.py'

resnet20_l1 = dict(
    _scope_='mmrazor',
    type='sub_model',
    mode='mutator',
    cfg=_base_.resnet20,
    fix_subnet='work_dirs/prune-l1_resnet20_1xb64_digits/fix_subnet.json',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/prune-l1_resnet20_1xb64_digits/'
        'fix_subnet_weight.pth',
        prefix='architecture.',
    ),
)
