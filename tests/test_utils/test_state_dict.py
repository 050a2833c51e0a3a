import copy

import torch
from hooked_networks import RenamingClassifier, randomize
from torch import nn

from mmdskd.utils.state_dict import find_tensors, guard_hooks, rename_weights


def test_tensors_are_those_that_a_checkpoint_holds():
    network = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2))
    network.register_buffer('kept', torch.ones(1))
    network.register_buffer('left', torch.ones(1), persistent=False)
    network.append(network[0])
    assert list(find_tensors(network)) == [
        'kept',
        '0.weight',
        '0.bias',
        '2.weight',
        '2.bias',
    ]


def test_guard_survives_copies_and_acts_for_copies_alone():
    root = nn.ModuleDict(dict(net=RenamingClassifier()))
    guard_hooks(root)
    copied = copy.deepcopy(root)
    guard_hooks(copied)
    weights = randomize(root, 1).state_dict()
    copied.load_state_dict(weights, strict=True)
    assert torch.equal(copied.net.fc.weight, root.net.fc.weight)
    (hook,) = copied.net._load_state_dict_pre_hooks.values()
    assert hook.module is copied.net


def test_renamed_weights_keep_their_versions():
    weights = nn.Sequential(nn.BatchNorm1d(2)).state_dict()
    renamed = rename_weights(weights, lambda name: f'a.{name}')
    assert list(renamed) == [f'a.{name}' for name in weights]
    assert renamed._metadata['a.0'] == {'version': 2}
    assert not hasattr(rename_weights({}, str), '_metadata')
