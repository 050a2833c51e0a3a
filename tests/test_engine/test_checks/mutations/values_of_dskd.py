"""Values of the components of a distillation: (path, rule, wrong values)."""

from .rules import INF, NAN

LOSSES = 'model.distiller.distill_losses'
DSKD = f'{LOSSES}.loss_dskd'
HEADS = 'model.distiller.connectors.heads'
HOOK = 'custom_hooks[0]'
RECORDERS = 'model.distiller.student_recorders'
GUARD = 'default_hooks.non_finite'
WEIGHTS = 'default_hooks.loaded_weights'

VALUES = [
    (f'{LOSSES}.loss_kd.tau', 'above 0', [0, -4, NAN, INF, '4', None, [4]]),
    (f'{LOSSES}.loss_kd.loss_weight', 'weight', [-1, NAN, INF, '1', None]),
    (f'{LOSSES}.loss_kd.teacher_detach', 'flag', ['False', 1, None]),
    (f'{DSKD}.num_branches', 'count or auto', [0, -1, 2.5, '2', None, True]),
    (f'{DSKD}.loss_weight', 'weight', [-0.1, NAN, -INF, '1', None, True]),
    (f'{DSKD}.last_layer', 'flag', ['False', 0, None]),
    (f'{DSKD}.reduction', 'reduction', ['none', '', None, 'batchmean']),
    (f'{DSKD}.logit_loss', 'losses', ['KLDivergence', 1.0, ['L2Loss']]),
    (f'{DSKD}.feat_loss', 'losses', ['L2Loss', True]),
    (f'{DSKD}.label_loss', 'losses', ['CrossEntropyLoss', 0.5]),
    (f'{DSKD}.logit_loss.tau', 'above 0', [0, -1, NAN, '4', None]),
    (f'{DSKD}.logit_loss.loss_weight', 'weight', [-1, NAN, '0.3', None]),
    (f'{DSKD}.feat_loss.loss_weight', 'weight', [-10, INF, '10']),
    (f'{DSKD}.feat_loss.normalize', 'flag', ['False', 0]),
    (f'{DSKD}.feat_loss.div_element', 'flag', ['True', None]),
    (f'{DSKD}.schedule', 'schedule', ['liner', 0.5, None, '', ['linear']]),
    (
        f'{DSKD}.schedule',
        'schedule',
        [{'type': 'linear', 'end': 1, 'stop': 0.5}],
    ),
    (f'{HEADS}.in_channels', 'channels', [4, [], [4, 0], [4, 8.5], ['4', 8]]),
    (f'{HEADS}.in_channels', 'channels', ['auot', None, '4,8', [4, True]]),
    (f'{HEADS}.out_channels', 'count or auto', [0, -64, 64.0, '64', None]),
    (f'{HEADS}.num_classes', 'classes or auto', [0, -1, '10', 10.0, [10]]),
    (f'{HEADS}.strides', 'strides', [4, [4, 0], [4, -2], [4, 1.5]]),
    (f'{HEADS}.strides', 'strides', [[4, '2'], '4,2', [4, NAN], [4, INF]]),
    (f'{HEADS}.out_size', 'size', [[4], 0, -4, '4', [4, 4, 4], 4.0, [4, 0]]),
    (f'{HEADS}.layouts', 'layouts', [3, 'NCL', None, ['NCHW', 3], {'a': 1}]),
    (f'{HEADS}.head', 'head', ['mmdskd.ConvHead', 3, ['mmdskd.ConvHead']]),
    (f'{HEADS}.head.kernel_size', 'odd', [0, 2, -1, '3', 3.0, None]),
    (f'{HOOK}.loss', 'text or none', [1, '', ['loss_dskd'], True]),
    (f'{HOOK}.strategy', 'strategy', ['', 'sofmax', 1, None, ['softmax']]),
    (
        f'{HOOK}.strategy',
        'strategy',
        [{'logits': 'softmax'}, {'logit': 'max'}],
    ),
    (f'{HOOK}.ema_decay', 'below 1', ['0.9', 1, -0.1, NAN, INF, None, True]),
    (f'{HOOK}.interval', 'count', [0, -1, 0.5, '1', None, True]),
    (f'{HOOK}.by_epoch', 'flag', ['False', 'True', 1, None]),
    (f'{HOOK}.begin', 'index', [-1, 1.5, '0', None, NAN]),
    (f'{HOOK}.end', 'count or none', [0, -5, '5', 2.5]),
    (f'{HOOK}.weight_warmup', 'index or none', [-1, 0.5, '3', NAN]),
    (f'{HOOK}.loss_warmup', 'index or none', [-1, 0.5, '3', False]),
    (f'{HOOK}.priority', 'priority', ['NORMALL', -1, 101, 50.5]),
    ('custom_hooks[2].enabled', 'flag or none', ['False', 'True', 0, 1.0]),
    (f'{RECORDERS}.shallow.sources', 'sources', ['backbone.layer1', [], [1]]),
    (
        f'{RECORDERS}.shallow.sources',
        'sources',
        [None, ['backbone.layer1', '']],
    ),
    (f'{GUARD}.action', 'action', ['skipp', '', None, True]),
    (f'{GUARD}.max_in_a_row', 'count', [0, '10', 1.5, None]),
    (f'{WEIGHTS}.allow_partial', 'flag', ['False', 1]),
    ('model.teacher_ckpt', 'file or none', [4, '', {'a': 1}, ['a.pth'], '/']),
    ('model.teacher_trainable', 'never', [True, 'False', None]),
    ('model.teacher_norm_eval', 'always', [False, 'True']),
    ('model.teacher_module_inplace', 'flag', ['False', 1]),
    ('model.teacher_fold_bn', 'flag', ['False', 1, None]),
    ('model.teacher_channels_last', 'flag', ['True', 0]),
    ('model.teacher_autocast_dtype', 'half', ['float32', 16, '', True]),
    ('model.teacher_compile', 'flag or dict', ['True', 1, None]),
    ('model.teacher_input_size', 'input size', [0, '224', [224], 1.5]),
    ('model.teacher_data_preprocessor', 'pixels', [[1.0], 'own', 1]),
    ('model.student_trainable', 'flag', ['True', 1]),
    ('model.calculate_student_loss', 'flag', ['False', None]),
]
