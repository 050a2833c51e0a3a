import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TASK_UTILS as ROOT_TASK_UTILS
from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

from mmdskd.registry import (
    BATCH_AUGMENTS,
    DATASETS,
    FUNCTIONS,
    HOOKS,
    MODELS,
    TASK_UTILS,
)

PAIRS = [
    (BATCH_AUGMENTS, MMPRETRAIN_BATCH_AUGMENTS),
    (DATASETS, ROOT_DATASETS),
    (FUNCTIONS, ROOT_FUNCTIONS),
    (HOOKS, ROOT_HOOKS),
    (MODELS, ROOT_MODELS),
    (TASK_UTILS, ROOT_TASK_UTILS),
]


@pytest.mark.parametrize('registry, root', PAIRS)
def test_child_of_its_parent(registry, root):
    assert registry.scope == 'mmdskd'
    assert registry.parent is root


@pytest.mark.parametrize('scope', ['mmengine', 'mmrazor', 'mmpretrain'])
@pytest.mark.parametrize('registry, root', PAIRS)
def test_prefix_resolves_from_any_scope(registry, root, scope):

    class Probe:
        pass

    registry.register_module(module=Probe)
    try:
        with DefaultScope.overwrite_default_scope(scope):
            assert isinstance(root.build(dict(type='mmdskd.Probe')), Probe)
    finally:
        del registry.module_dict['Probe']
