"""Registries of mmdskd: children of MMEngine's root registries.

A component is found from every scope by its prefix, for example
``type='mmdskd.DSKDConnector'``. Its module is imported at the first look-up,
from ``locations``.
"""
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import Registry

__all__ = ['DATASETS', 'HOOKS', 'MODELS', 'TASK_UTILS']

# Backbones, connectors, heads and losses
MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmdskd',
    locations=['mmdskd.models'])
# Hooks of the runner
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmdskd',
    locations=['mmdskd.engine'])
# Recorders and weighting strategies
TASK_UTILS = Registry(
    'task util',
    parent=MMENGINE_TASK_UTILS,
    scope='mmdskd',
    locations=['mmdskd.models', 'mmdskd.engine'])
# Datasets in the format of MMPretrain
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmdskd',
    locations=['mmdskd.datasets'])
