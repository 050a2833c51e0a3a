"""The texts of the rules, by the names that the lists use."""

NAN, INF = float('nan'), float('inf')

RULES = {
    'above 0': 'a number > 0',
    'above 0 or inf': 'a number > 0, or inf',
    'above 0 or none': 'a number > 0, or None',
    'weight': 'a number >= 0',
    'share': 'a number in [0, 1]',
    'share or none': 'a number in [0, 1], or None',
    'below 1': 'a number in [0, 1)',
    'inner share': 'a number in (0, 1)',
    'start factor': 'a number in (0, 1]',
    'count': 'a whole number >= 1',
    'count or auto': "a whole number >= 1, or 'auto'",
    'count or none': 'a whole number >= 1, or None',
    'count or never': 'a whole number >= 1, or -1',
    'index': 'a whole number >= 0',
    'index or none': 'a whole number >= 0, or None',
    'flag': 'True or False',
    'flag or none': 'True or False, or None',
    'text or none': 'a string that is not empty, or None',
    'file or none': 'the path of a file, or a URL, or None',
    'dict': 'a dict',
    'dict or none': 'a dict, or None',
    'hooks': 'a list of hooks, or None',
    'channels': "a list with each item a whole number >= 1, or 'auto'",
    'classes or auto': "a whole number >= 1, or None, or 'auto'",
    'strides': 'a list with each item a whole number n >= 1, or 1/n such as '
    "0.5, or None, or 'auto'",
    'size': 'a whole number >= 1, or a list of 2 with each item a whole '
    "number >= 1, or None, or 'auto'",
    'layouts': 'a layout (NCHW, NHWC, NLC, or a dict of order, '
    'num_extra_tokens, grid_size), or a list with each item a layout (NCHW, '
    'NHWC, NLC, or a dict of order, num_extra_tokens, grid_size), or '
    "'auto'",
    'head': 'the config of a BaseBranchHead, or None',
    'losses': 'the config of a loss, such as dict(type="L2Loss"), or a list '
    'with each item the config of a loss, such as dict(type="L2Loss"), or '
    'None',
    'reduction': 'one of sum, mean',
    'kl reduction': 'one of none, batchmean, sum, mean',
    'schedule': 'one of constant, linear, cosine, or a dict of type, floor, '
    'end, stop',
    'schedule type': 'one of constant, linear, cosine',
    'floor': 'a number in [0, 1), or None',
    'end': 'a number in (0, 1], or None',
    'strategy': 'a strategy (dwa, inverse, proportional, softmax, uniform), '
    'its config with a type, or a dict of them by term (logit, feat, label)',
    'sources': 'a list with each item a string that is not empty',
    'odd': 'a positive odd number',
    'means': 'a list with each item a finite number, or None',
    'deviations': 'a list with each item a number > 0, or None',
    'crop': 'a whole number >= 1, or a list of 2 with each item a whole '
    'number >= 1',
    'topk': 'a whole number >= 1, or a list with each item a whole number '
    '>= 1',
    'milestones': 'a list with each item a whole number >= 0',
    'betas': 'a list of 2 with each item a number in [0, 1)',
    'direction': 'one of greater, less, or a list with each item one of '
    'greater, less, or None',
    'depth 6n + 2': '6n + 2 with n >= 1 (8, 14, 20, 26, 32, ...)',
    'depth 6n + 4': '6n + 4 with n >= 1 (10, 16, 22, 28, 34, ...)',
    'vgg depth': 'one of 8, 11, 13, 16, 19',
    'shuffle width': 'one of 0.5, 1.0, 1.5, 2.0',
    'mobile width': 'a number >= 0.0625',
    'expansion': 'a whole number >= 2',
    'three counts': 'a list of 3 with each item a whole number >= 1',
    'stages': 'a list with each item a whole number in [0, 2]',
    'frozen stages': 'a whole number in [-1, 3]',
    'layer': 'the config of a layer, or None',
    'digits split': 'one of train, test, tune_train, tune_val',
    'tiny split': 'one of train, val',
    'split': 'one of train, test',
    'priority': 'a whole number in [0, 100], or one of HIGHEST, VERY_HIGH, '
    'HIGH, ABOVE_NORMAL, NORMAL, BELOW_NORMAL, LOW, VERY_LOW, LOWEST',
    'augments': 'a list with each item a batch augmentation, or None',
    'layout': 'a layout (NCHW, NHWC, NLC, or a dict of order, '
    "num_extra_tokens, grid_size), or 'auto'",
    'action': 'one of skip, stop, continue',
    'never': 'False',
    'always': 'True',
    'half': 'one of bfloat16, float16, or None',
    'flag or dict': 'True or False, or a dict',
    'input size': 'a whole number >= 1, or a list of 2 with each item a whole '
    'number >= 1, or None',
    'pixels': 'a dict with mean, std and to_rgb, or None',
    'launcher': 'one of none, pytorch, slurm, mpi',
    'start method': 'one of fork, spawn, forkserver',
    'clip': 'one of norm, value',
    'level': 'one of DEBUG, INFO, WARNING, WARN, ERROR, CRITICAL, FATAL, or a '
    'whole number >= 0',
}
