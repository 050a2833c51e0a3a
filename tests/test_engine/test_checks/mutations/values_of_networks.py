"""Values of networks and other components that take the place of one in the
config: (path, config of the component, key, rule, wrong values)."""

from .rules import INF, NAN

BACKBONE = 'model.architecture.backbone'
RESNET = dict(type='mmdskd.CIFARResNet', depth=8, in_channels=1)
WIDE = dict(type='mmdskd.CIFARWideResNet', depth=16, in_channels=1)
VGG = dict(type='mmdskd.CIFARVGG', depth=8, in_channels=1)
SHUFFLE_V1 = dict(type='mmdskd.CIFARShuffleNetV1', in_channels=1)
SHUFFLE_V2 = dict(type='mmdskd.CIFARShuffleNetV2', in_channels=1)
MOBILE = dict(type='mmdskd.CIFARMobileNetV2', in_channels=1)
LOSS = 'model.distiller.distill_losses.loss_kd'
STANDARDIZED = dict(type='mmdskd.StandardizedKLDivergence', tau=2)
BINARY = dict(type='mmdskd.BinaryKLDivergence')
DKD = dict(type='DKDLoss', tau=1.0, beta=0.5)
DIST = dict(type='DISTLoss', tau=1.0)
HEAD = 'model.distiller.connectors.heads.head'
SEPARABLE = dict(type='mmdskd.SepConvHead')
STRATEGY = 'custom_hooks[0].strategy'
SCHEDULE = 'model.distiller.distill_losses.loss_dskd.schedule'
LINEAR = dict(type='linear')
FLIP = dict(type='mmdskd.BatchRandomFlip', prob=0.5)
AUGMENT = 'data_preprocessor.augments[0]'
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1)
HEAD_LOSS = 'model.architecture.head.loss'
DATASET = 'train_dataloader.dataset.dataset'
PIPELINE = [dict(type='PackInputs')]
CIFAR = dict(type='mmdskd.CIFAR100', data_root='data', pipeline=PIPELINE)
TINY = dict(type='mmdskd.TinyImageNet', data_root='data', pipeline=PIPELINE)
FASHION = dict(type='mmdskd.FashionMNIST', data_root='data', pipeline=PIPELINE)
REPEAT = dict(type='RepeatDataset', times=2, dataset=FASHION)
OPTIMIZER = 'optim_wrapper.optimizer'
ADAM = dict(type='AdamW', lr=1e-3)
SCHEDULER = 'param_scheduler'
STEPS = dict(type='MultiStepLR', milestones=[10, 20], gamma=0.1)
WARM = dict(type='LinearLR', start_factor=0.1, end=5)
VIT = dict(type='VisionTransformer', arch='deit-tiny', img_size=32)
CONNECTOR = 'model.distiller.connectors.heads'
MAP = dict(type='mmdskd.FeatureMapConnector', layout='NCHW')

VALUES = [
    (BACKBONE, RESNET, 'depth', 'depth 6n + 2', [9, 0, '8', 8.0, None, -4]),
    (BACKBONE, RESNET, 'in_channels', 'count', [0, '1', 1.0, None]),
    (BACKBONE, RESNET, 'stem_channels', 'count', [0, '16', 1.5]),
    (
        BACKBONE,
        RESNET,
        'stage_channels',
        'three counts',
        [[4, 8], 16, [0] * 3],
    ),
    (BACKBONE, RESNET, 'strides', 'three counts', [[1, 2], 2, [1, 2, '2']]),
    (BACKBONE, RESNET, 'out_indices', 'stages', [[3], [], 2, ['2'], [-1]]),
    (BACKBONE, RESNET, 'frozen_stages', 'frozen stages', [4, -2, '1', 0.5]),
    (BACKBONE, RESNET, 'norm_eval', 'flag', ['False', 1]),
    (BACKBONE, RESNET, 'norm_cfg', 'layer', ['BN', 1]),
    (BACKBONE, RESNET, 'act_cfg', 'layer', ['ReLU']),
    (BACKBONE, WIDE, 'depth', 'depth 6n + 4', [8, '16', 16.0]),
    (BACKBONE, WIDE, 'widen_factor', 'count', [0, 0.5, '2', None]),
    (BACKBONE, VGG, 'depth', 'vgg depth', [7, '8', None]),
    (BACKBONE, VGG, 'conv_cfg', 'layer', ['Conv2d']),
    (BACKBONE, SHUFFLE_V1, 'groups', 'count', [0, '3', 1.5]),
    (BACKBONE, SHUFFLE_V1, 'stage_channels', 'three counts', [[240], '240']),
    (
        BACKBONE,
        SHUFFLE_V2,
        'widen_factor',
        'shuffle width',
        [0.7, '1.0', None],
    ),
    (BACKBONE, MOBILE, 'widen_factor', 'mobile width', [0, NAN, '0.5', INF]),
    (BACKBONE, MOBILE, 'expand_ratio', 'expansion', [1, '6', 2.5]),
    (BACKBONE, VIT, 'drop_rate', 'share or none', [1.5, -0.1, NAN, '0.1']),
    (BACKBONE, VIT, 'drop_path_rate', 'share or none', [2, '0.1']),
    (LOSS, STANDARDIZED, 'tau', 'above 0', [0, NAN, '2']),
    (LOSS, STANDARDIZED, 'eps', 'above 0', [0, -1e-7, NAN, '1e-7', None]),
    (LOSS, STANDARDIZED, 'reduction', 'kl reduction', ['avg', None]),
    (LOSS, STANDARDIZED, 'loss_weight', 'weight', [-1, '9']),
    (LOSS, BINARY, 'tau', 'above 0', [0, NAN, '1', None]),
    (LOSS, BINARY, 'loss_weight', 'weight', [-1, '1']),
    (LOSS, DKD, 'beta', 'weight', [-1, NAN, '0.5']),
    (LOSS, DKD, 'alpha', 'weight', [-1, '1']),
    (LOSS, DKD, 'tau', 'above 0', [0, '1']),
    (LOSS, DIST, 'inter_loss_weight', 'weight', [-1, NAN, '1']),
    (
        HEAD,
        SEPARABLE,
        'bottleneck_ratio',
        'above 0',
        [0, -1, NAN, '0.5', None],
    ),
    (
        STRATEGY,
        dict(type='softmax'),
        'temperature',
        'above 0',
        [0, -1, '1', NAN],
    ),
    (STRATEGY, dict(type='softmax'), 'normalize', 'flag', ['False', 0]),
    (STRATEGY, dict(type='dwa'), 'temperature', 'above 0', [0, INF, '2']),
    (SCHEDULE, LINEAR, 'type', 'schedule type', ['liner', None, 1]),
    (SCHEDULE, LINEAR, 'floor', 'floor', [1, -0.1, '0', NAN]),
    (SCHEDULE, LINEAR, 'end', 'end', [0, 1.5, '1', NAN]),
    (SCHEDULE, LINEAR, 'stop', 'end', [0, 2, '1', True]),
    (AUGMENT, FLIP, 'prob', 'share', [1.5, -0.5, NAN, '0.5', None, True]),
    (HEAD_LOSS, SMOOTH, 'label_smooth_val', 'share', [1.1, -0.1, NAN, '0.1']),
    (DATASET, CIFAR, 'split', 'split', ['val', 'tune_val', None]),
    (DATASET, TINY, 'split', 'tiny split', ['test', None]),
    (DATASET, TINY, 'check_complete', 'flag', ['False', 0]),
    (DATASET, FASHION, 'split', 'digits split', ['val', 1]),
    (DATASET, REPEAT, 'times', 'count', [0, '2', 0.5]),
    (OPTIMIZER, ADAM, 'lr', 'weight', [-1, NAN, '1e-3']),
    (OPTIMIZER, ADAM, 'betas', 'betas', [[0.9, 1.5], [0.9, '0.999'], [0.9]]),
    (OPTIMIZER, ADAM, 'weight_decay', 'weight', [-1, '0.05']),
    (SCHEDULER, STEPS, 'milestones', 'milestones', [10, ['10'], [-1], []]),
    (SCHEDULER, STEPS, 'gamma', 'above 0', [0, -0.1, NAN, '0.1']),
    (SCHEDULER, WARM, 'start_factor', 'start factor', [0, 1.5, '0.1', NAN]),
    (CONNECTOR, MAP, 'layout', 'layout', ['NCL', 3, None]),
]
