import pytest
import torch
from networks import ChannelsLast, classifier, vit
from torch import nn

from mmdskd.pairing.recorded_forward import find_frozen, record_forward

SHAPE = (3, 16, 16)


class Odd(ChannelsLast):
    def __init__(self):
        super().__init__()
        self.idle = nn.Linear(3, 3)
        self.twice = nn.Identity()
        self.spoilt = nn.Identity()

    def forward(self, x):
        x = self.spoilt(self.twice(self.twice(x)) * 2)
        x += 1
        return super().forward(x)


def test_outputs_of_the_modules():
    network = Odd()
    run = record_forward(network, SHAPE, 'network')
    assert 'idle' not in run.outputs and '' not in run.outputs
    assert run.outputs['twice'] is None
    assert run.changed == {'spoilt'}
    assert run.outputs['stages.0'].shape == (2, 8, 8, 4)
    # From the inside out, and in the order of running.
    names = list(run.outputs)
    assert names.index('stages.0.2') < names.index('stages.0')
    assert names.index('stages.0') < names.index('stages.1')
    assert names[-1] == 'fc'
    assert run.output is run.outputs['fc']
    assert not run.output.requires_grad


def test_activations_are_not_in_place():
    run = record_forward(ChannelsLast(), SHAPE, 'network')
    assert run.outputs['stages.0.0'].min() < 0
    assert run.outputs['stages.0.1'].min() == 0


def test_leaves_the_network_as_it_was():
    network = ChannelsLast()
    network.norm.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    rng = torch.get_rng_state()
    record_forward(network, SHAPE, 'network')
    assert torch.equal(torch.get_rng_state(), rng)
    assert network.training and not network.norm.training
    assert network.stages[0][1].inplace
    assert not any(m._forward_hooks for m in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_images_that_do_not_fit():
    network = vit()
    with pytest.raises(
        RuntimeError,
        match=r'the student, a ImageClassifier, does not run on images of '
        r'shape \(1, 32, 32\) \(.*\). Is this the shape of its images',
    ):
        record_forward(network, (1, 32, 32), 'the student')
    assert network.training
    assert not any(m._forward_hooks for m in network.modules())


def resnet(**kwargs):
    return classifier(
        dict(type='ResNet', depth=18, base_channels=8, **kwargs), channels=64
    )


@pytest.mark.parametrize(
    'kwargs, frozen, learning',
    [
        (
            dict(frozen_stages=2),
            {'backbone.conv1', 'backbone.layer1.0', 'backbone.layer2'},
            {'backbone.layer3.0.conv1', 'backbone.layer3', 'neck', 'head.fc'},
        ),
        # Weights of batch norms alone are not frozen by it.
        (dict(norm_eval=True), set(), {'backbone.layer1', 'head.fc'}),
        (dict(frozen_stages=0), {'backbone.conv1'}, {'backbone.layer1'}),
    ],
)
def test_frozen_stages(kwargs, frozen, learning):
    network = resnet(**kwargs).train()
    found = find_frozen(network, (3, 32, 32))
    assert frozen <= found
    assert not learning & found
    assert network.training and network.backbone.layer4.training
    assert not any(m._forward_hooks for m in network.modules())


def test_stages_that_are_frozen_in_training_alone():
    """The network is left as it was."""
    network = classifier(
        dict(type='mmdskd.CIFARResNet', depth=8, frozen_stages=1), channels=64
    )
    network.requires_grad_(True)
    found = find_frozen(network, (3, 32, 32))
    assert {'backbone.conv1', 'backbone.layer1'} <= found
    assert 'backbone.layer2' not in found
    assert all(p.requires_grad for p in network.parameters())


def test_frozen_by_hand():
    network = vit()
    network.backbone.patch_embed.requires_grad_(False)
    # What is added to it learns: positions and class token.
    found = find_frozen(network, (3, 32, 32))
    assert found and all('patch_embed' in name for name in found)
    network.requires_grad_(False)
    network.head.requires_grad_(True)
    found = find_frozen(network, (3, 32, 32))
    assert 'backbone.layers.7' in found and 'head.layers.head' not in found
