"""Values that are right alone and wrong together, and options of a command
line: (changes by path, what is said)."""

DSKD = 'model.distiller.distill_losses.loss_dskd'
HEADS = 'model.distiller.connectors.heads'
HOOK = 'custom_hooks[0]'
KL = dict(type='KLDivergence')

TOGETHER = [
    (
        {f'{HEADS}.strides': [4]},
        f'{HEADS}: strides should give one number per',
    ),
    ({f'{HEADS}.strides': None}, f'{HEADS}: DSKDConnector needs either str'),
    ({f'{HEADS}.out_size': 4}, f'{HEADS}: DSKDConnector needs either strides'),
    (
        {f'{HEADS}.in_channels': [4]},
        f'{HEADS}: strides should give one number',
    ),
    (
        {f'{HEADS}.layouts': ['NCHW'] * 3},
        f'{HEADS}: layouts should be one for',
    ),
    ({f'{HEADS}.head.stride': 2}, f'{HEADS}.head.stride should be left to DS'),
    (
        {f'{HEADS}.head.out_size': 4},
        f'{HEADS}.head.out_size should be left to DSKDConnector, which '
        'overwrites it, but got 4',
    ),
    (
        {f'{DSKD}.logit_loss': None, f'{DSKD}.feat_loss': None},
        f'{DSKD}: DSKDLoss needs at least one of logit_loss, feat_loss and',
    ),
    (
        {f'{DSKD}.logit_loss': [KL]},
        f'{DSKD}: logit_loss should be one config, or one per branch (2), but '
        'got a list of 1',
    ),
    (
        {f'{DSKD}.label_loss': KL, f'{DSKD}.last_layer': True},
        f'{DSKD}: label_loss should be None with last_layer=True',
    ),
    (
        {f'{HOOK}.begin': 9, f'{HOOK}.end': 5},
        f'{HOOK}: end should be > begin=9',
    ),
    (
        {f'{HOOK}.warmup': 3, f'{HOOK}.weight_warmup': 3},
        f'{HOOK}: warmup is the old name of weight_warmup',
    ),
    (
        {f'{HOOK}.ramp': 3, f'{HOOK}.loss_warmup': 3},
        f'{HOOK}: ramp is the old name of loss_warmup',
    ),
    (
        {f'{HOOK}.by_epoch': True, f'{HOOK}.begin': 30},
        f'{HOOK}.begin should be below the length of the run, 30 epochs, but '
        'got 30: the weights would never be written',
    ),
    (
        {f'{HOOK}.by_epoch': True, f'{HOOK}.interval': 31},
        f'{HOOK}.interval should be at most the 30 epochs of the run from '
        'begin=0 on, but got 31',
    ),
    (
        {
            'train_cfg': dict(by_epoch=False, max_iters=100),
            f'{HOOK}.begin': 100,
        },
        f'{HOOK}.begin should be below the length of the run, 100 iterations',
    ),
    (
        {
            'train_cfg': dict(by_epoch=False, max_iters=100),
            f'{HOOK}.by_epoch': True,
        },
        f'{HOOK}.by_epoch should be False in training by iterations',
    ),
    (
        {'train_cfg': dict(by_epoch=False, max_epochs=10)},
        'train_cfg.max_iters should be given with by_epoch=False',
    ),
    (
        {'train_dataloader.persistent_workers': True},
        'train_dataloader.persistent_workers should be False with num_workers',
    ),
    (
        {'param_scheduler.begin': 9, 'param_scheduler.end': 5},
        'param_scheduler.end should be > begin=9, but got 5',
    ),
    (
        {'optim_wrapper.paramwise_cfg': {'custom_keys': {'bn': 0}}},
        'optim_wrapper.paramwise_cfg.custom_keys.bn should be a dict, such as',
    ),
    (
        {
            'optim_wrapper.paramwise_cfg': {
                'custom_keys': {'bn': {'lr_mlt': 1}}
            }
        },
        'optim_wrapper.paramwise_cfg.custom_keys.bn.lr_mlt should be lr_mult',
    ),
    (
        {
            'optim_wrapper.paramwise_cfg': {
                'custom_keys': {'b': {'lr_mult': -1}}
            }
        },
        'optim_wrapper.paramwise_cfg.custom_keys.b.lr_mult should be a number',
    ),
    (
        {'optim_wrapper.paramwise_cfg': {'norm_decay_mult': 'no'}},
        'optim_wrapper.paramwise_cfg.norm_decay_mult should be a number >= 0',
    ),
    (
        {'data_preprocessor': dict(mean=[78.4], std=[0.0])},
        'data_preprocessor.std should be a list with each item a number > 0',
    ),
    (
        {'model.architecture.neck.dim': float('nan')},
        'model.architecture.neck.dim should be a number, but got nan',
    ),
    (
        {'model.architecture.neck.dim': '2'},
        "model.architecture.neck.dim should be of type int, but got '2'",
    ),
]

# Options of --cfg-options, as the command line reads them.
OPTIONS = [
    (
        {'optim_wraper.optimizer.lr': 1e-3},
        "mean 'optim_wrapper.optimizer.lr'?",
    ),
    ({'custom_hook.0.interval': 2}, "did you mean 'custom_hooks.0.interval'?"),
    ({'max_epochs': 5}, "did you mean 'train_cfg.max_epochs'?"),
    ({'lr': 0.1}, "did you mean 'optim_wrapper.optimizer.lr'?"),
    ({'batch_size': 8}, "mean 'train_dataloader.batch_size' or"),
    ({'teacher_ckpt': 'a.pth'}, "did you mean 'model.teacher_ckpt'?"),
    (
        {'distiller.connectors': 3},
        "did you mean 'model.distiller.connectors'?",
    ),
    ({'tau': 2}, 'loss_kd.tau'),
    ({'seed': 1}, "did you mean 'randomness.seed'?"),
    ({'nonsense': 1}, "should be a key that a run reads, but 'nonsense' is"),
    (
        {'resnet8_thin.backbone.depth': 14},
        'resnet8_thin.backbone.depth, of --cfg-options, should be a key that '
        'is read after the config is loaded, but is a variable of the config, '
        'which was copied while it was loaded: set '
        'model.architecture.backbone.depth',
    ),
    ({'test_pipeline': []}, 'should be a key that is read after'),
    ({'custom_hooks.7.interval': 2}, "a list of 3 (0 to 2), but got '7'"),
    ({'custom_hooks.first.interval': 2}, "a list of 3 (0 to 2), but got 'f"),
    ({'train_cfg.max_epoch': 5}, "did you mean 'max_epochs'"),
    ({'model.distiller.distill_losses.loss_kd.tua': 2}, "did you mean 'tau'?"),
    (
        {'model.distiller.distill_losses.loss_kdd.tau': 2},
        "did you mean 'model.distiller.distill_losses.loss_kd.tau'?",
    ),
    ({'custom_hooks.0.ema_dekay': 0.5}, "did you mean 'ema_decay'?"),
    ({'optim_wrapper.lr': 0.1}, 'optim_wrapper.lr should be an argument of'),
    ({'optim_wrapper.optimizer.lr': 'nan'}, "but got 'nan' (a string)"),
    ({'evaluate_teacher': 'false'}, "but got 'false' (a string: write it"),
    ({'train_cfg': 5}, 'train_cfg should be a dict'),
]
