import types
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModule
from mmpretrain.models import TimmClassifier
from torch import nn

from mmdskd.compat import mmpretrain as patches
from mmdskd.compat.mmpretrain import keep_loaded_weights


class Network(nn.Module):
    """Draws its weights anew, as networks of timm do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def init_weights(self):
        nn.init.zeros_(self.weight)


def make_classifier():
    class Classifier(BaseModule):
        def __init__(self, name, init_cfg=None, **kwargs):
            super().__init__(init_cfg)
            self.model = Network()

    module = SimpleNamespace(TimmClassifier=Classifier)
    keep_loaded_weights(module)
    first = Classifier.__init__
    keep_loaded_weights(module)  # once is enough
    assert Classifier.__init__ is first
    return Classifier


@pytest.mark.parametrize(
    'kwargs, kept',
    [
        (dict(pretrained=True), True),
        (dict(checkpoint_path='a.pth'), True),
        (dict(pretrained=False, checkpoint_path=''), False),
        ({}, False),
        # The weights of init_cfg come after those.
        (dict(pretrained=True, init_cfg=[dict(type='Constant')]), False),
    ],
)
def test_loaded_weights_are_kept(kwargs, kept):
    network = make_classifier()('resnet18', **kwargs)
    algorithm = BaseModule()
    algorithm.architecture = network
    network.init_cfg = None
    algorithm.init_weights()
    assert bool(network.model.weight) == kept


def test_the_class_of_mmpretrain_is_patched():
    assert TimmClassifier.__init__.keeps_weights


@pytest.mark.parametrize(
    'version, expected', [('4.49.0', True), ('5.0.0', False), (None, True)]
)
def test_multimodal_models_are_left_out(version, expected, monkeypatch):
    monkeypatch.setattr(patches, 'installed_version', lambda name: version)
    dependency = types.ModuleType('dependency')
    dependency.WITH_MULTIMODAL = True
    patches.leave_out_multimodal(dependency)
    assert dependency.WITH_MULTIMODAL is expected
