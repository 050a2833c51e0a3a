"""Registries of mmdskd: children of MMEngine's root registries.

(Batch augmentations have none: theirs is a child of MMPretrain's.)

A component is found from every scope by its prefix, for example
``type='mmdskd.DSKDConnector'``. Its module is imported at the first look-up,
from ``locations``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import Registry
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

__all__ = [
    'BATCH_AUGMENTS',
    'DATASETS',
    'FUNCTIONS',
    'HOOKS',
    'MODELS',
    'TASK_UTILS',
]

# Backbones, connectors, heads, losses and data preprocessors
MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmdskd',
    locations=['mmdskd.models'],
)
# Hooks of the runner
HOOKS = Registry(
    'hook', parent=MMENGINE_HOOKS, scope='mmdskd', locations=['mmdskd.engine']
)
# Recorders and weighting strategies
TASK_UTILS = Registry(
    'task util',
    parent=MMENGINE_TASK_UTILS,
    scope='mmdskd',
    locations=['mmdskd.models', 'mmdskd.engine'],
)
# Datasets in the format of MMPretrain
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmdskd',
    locations=['mmdskd.datasets'],
)
# Functions that make batches of samples
FUNCTIONS = Registry(
    'function',
    parent=MMENGINE_FUNCTIONS,
    scope='mmdskd',
    locations=['mmdskd.datasets'],
)
# Augmentations of whole batches
BATCH_AUGMENTS = Registry(
    'batch augment',
    parent=MMPRETRAIN_BATCH_AUGMENTS,
    scope='mmdskd',
    locations=['mmdskd.models'],
)
