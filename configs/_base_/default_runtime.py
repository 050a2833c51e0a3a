custom_imports = dict(imports=['mmdskd'], allow_failed_imports=False)
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=5,
        # MMEngine deletes the oldest before it writes the new one.
        max_keep_ckpts=2,
        save_best='accuracy/top1',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    loaded_weights=dict(type='mmdskd.LoadedWeightsHook'),
    # Leaves out steps with nan or inf; or action='stop', 'continue'.
    non_finite=dict(type='mmdskd.NonFiniteHook'),
    run_check=dict(type='mmdskd.RunCheckHook'),
    exact_resume=dict(type='mmdskd.ExactResumeHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
