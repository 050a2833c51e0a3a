import subprocess
import sys

import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TASK_UTILS as ROOT_TASK_UTILS
from mmengine.registry import DefaultScope

from mmdskd.registry import DATASETS, HOOKS, MODELS, TASK_UTILS

PAIRS = [(DATASETS, ROOT_DATASETS), (HOOKS, ROOT_HOOKS),
         (MODELS, ROOT_MODELS), (TASK_UTILS, ROOT_TASK_UTILS)]


@pytest.mark.parametrize('registry, root', PAIRS)
def test_child_of_the_root(registry, root):
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


def test_import_alone_makes_components_known():
    code = ('import mmdskd; from mmrazor.registry import MODELS; '
            'print(MODELS.get("mmdskd.DSKDLoss").__module__)')
    output = subprocess.run([sys.executable, '-c', code],
                            capture_output=True,
                            text=True,
                            check=True).stdout
    assert output.split()[-1] == 'mmdskd.models.losses.dskd_loss'
