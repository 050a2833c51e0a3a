import pytest
from mmengine.hooks import IterTimerHook

from mmdskd.engine.checks.config_check import ConfigError, check_config

HOOK = dict(type='mmdskd.LossWeightSchedulerHook')
COSINE = dict(type='CosineAnnealingLR', T_max=5)
CLIP = 'optim_wrapper.clip_grad'
CASES = [
    (
        'custom_hooks',
        [HOOK, 'EMAHook'],
        'custom_hooks[1] should be the config of a hook, '
        "dict(type='EMAHook'), but got 'EMAHook'.",
    ),
    ('model', 3, 'model should be a dict, but got 3.'),
    ('model.distiller', 'x', "model.distiller should be a dict, but got 'x'."),
    ('val_evaluator', 1, 'val_evaluator should be a dict, but got 1.'),
    (
        'train_dataloader.sampler',
        'DefaultSampler',
        "train_dataloader.sampler should be a dict, but got 'DefaultSampler'.",
    ),
    (
        'custom_hooks',
        [None],
        'custom_hooks[0] should be the config of a hook, a dict, but got '
        'None.',
    ),
    (
        'default_hooks.logger',
        'LoggerHook',
        'default_hooks.logger should be the config of a hook, '
        "dict(type='LoggerHook'), but got 'LoggerHook'.",
    ),
    (
        'param_scheduler',
        3,
        'param_scheduler should be the config of a schedule, a dict, but got '
        '3.',
    ),
    (
        'param_scheduler',
        [COSINE, 'StepLR'],
        'param_scheduler[1] should be the config of a schedule, '
        "dict(type='StepLR'), but got 'StepLR'.",
    ),
    (
        'param_scheduler',
        [dict(**COSINE, by_epoch=False, convert_to_iter_based=True)],
        'param_scheduler[0].convert_to_iter_based should be left out with '
        'by_epoch=False, as its numbers are iterations already, but got True.',
    ),
    (
        'param_scheduler',
        dict(**COSINE, eta_min=0.1, eta_min_ratio=0.1),
        'param_scheduler should have one of eta_min and eta_min_ratio, but '
        'has both.',
    ),
    (
        'optim_wrapper.constructor',
        'DefaultOptimWrapperConstructr',
        'optim_wrapper.constructor should be the name of a optimizer wrapper '
        "constructor that is known in the scope 'mmpretrain', but got "
        "'DefaultOptimWrapperConstructr'; did you mean "
        "'DefaultOptimWrapperConstructor'?",
    ),
    (
        'optim_wrapper.constructor',
        3,
        'optim_wrapper.constructor should be the name of a class, but got 3.',
    ),
    (
        CLIP,
        1.0,
        f'{CLIP} should be a dict, such as dict(max_norm=1.0), but got 1.0.',
    ),
    (
        CLIP,
        dict(),
        f"{CLIP}.max_norm should be given with type='norm', but got nothing.",
    ),
    (
        CLIP,
        dict(type='value', clip_value=1, max_norm=1),
        f'{CLIP}.max_norm should be one of clip_value, foreach, as type is '
        "'value'.",
    ),
    (
        'custom_hooks',
        [dict(type='EMAHook', ema_type='ExponentialMovingAvrage')],
        'custom_hooks[0].ema_type should be the name of a model that is known '
        "in the scope 'mmpretrain', but got 'ExponentialMovingAvrage'; did "
        "you mean 'ExponentialMovingAverage'?",
    ),
    (
        'custom_hooks',
        [dict(type='EMAHook', momentm=0.1)],
        'custom_hooks[0].momentm should be an argument of '
        'ExponentialMovingAverage, but it has *; did you mean '
        "'momentum'?",
    ),
    (
        'custom_hooks',
        [dict(type='EMAHook', begin_iter=2, begin_epoch=1)],
        'custom_hooks[0] should have one of begin_iter and begin_epoch, but '
        'has both.',
    ),
    (
        'default_hooks.checkpoint.filename_tmpl',
        'last.pth',
        'default_hooks.checkpoint.filename_tmpl should be a name with a place '
        "for the number, as in 'epoch_{}.pth', or None, but got 'last.pth'.",
    ),
    (
        'default_hooks.checkpoint.out_dir',
        3,
        'default_hooks.checkpoint.out_dir should be a string that is not '
        'empty, or None, but got 3.',
    ),
    (
        'default_scope',
        'mmpretrian',
        "default_scope should be the scope of a package, but got 'mmpretrian'"
        "; did you mean 'mmpretrain'?*",
    ),
    (
        'param_scheduler',
        [dict(type='OneCycleLR', eta_max=0.1)],
        'param_scheduler[0].total_steps should be the length of the cycle, '
        'unless begin and end give it, but got None.',
    ),
    (
        'optim_wrapper.optimizer',
        dict(type='AdamW', lr=0.1, betas=[0.9]),
        'optim_wrapper.optimizer.betas should be a list of 2 with each item '
        '*, but got [0.9].',
    ),
    (
        'optim_wrapper.optimizer.lr',
        [0.1, 0.01],
        'optim_wrapper.optimizer.lr should be a number >= 0, but got '
        '[0.1, 0.01].',
    ),
    (
        'param_scheduler',
        [dict(type='ReduceOnPlateauLR', rule='max')],
        'param_scheduler[0].rule should be one of greater, less, but got '
        "'max'.",
    ),
]


@pytest.mark.parametrize('path, value, message', CASES)
def test_messages(dskd_config, path, value, message):
    _set(dskd_config, path, value)
    with pytest.raises(ConfigError) as error:
        check_config(dskd_config)
    begin, star, end = message.partition('*')
    text = str(error.value)
    assert text.startswith(f'The config has a mistake: {begin}')
    assert text.endswith(end if star else begin)


def _set(cfg, path, value):
    *parents, key = path.split('.')
    for parent in parents:
        cfg = cfg[parent]
    cfg[key] = value


@pytest.mark.parametrize(
    'path, value',
    [
        ('custom_hooks', [HOOK, IterTimerHook()]),
        ('custom_hooks', [dict(type='EMAHook', momentum=0.1, interval=2)]),
        (
            'custom_hooks',
            [dict(type='EMAHook', ema_type='StochasticWeightAverage')],
        ),
        ('default_hooks.checkpoint', None),
        ('default_hooks.checkpoint.filename_tmpl', 'e_{:03d}.pth'),
        ('param_scheduler', None),
        ('param_scheduler', []),
        ('param_scheduler', dict(lr=[COSINE], momentum=COSINE)),
        (CLIP, dict(type='value', clip_value=1.0)),
        (CLIP, dict(max_norm=1.0, norm_type=1)),
        (
            'optim_wrapper.constructor',
            'LearningRateDecayOptimWrapperConstructor',
        ),
        (
            'optim_wrapper.constructor',
            'mmrazor.SeparateOptimWrapperConstructor',
        ),
    ],
)
def test_what_can_work_passes(dskd_config, path, value):
    _set(dskd_config, path, value)
    check_config(dskd_config)
