import pytest
import torch
from mmengine.config import Config

from mmdskd.experiments.network import build_network, save_initial_weights


@pytest.fixture
def student(plan_runs) -> Config:
    return plan_runs()['student'].cfg


def test_build_network(student):
    network = build_network(student)
    assert type(network.backbone).__name__ == 'CIFARResNet'
    assert sum(p.numel() for p in network.parameters()) == 5142


def test_initial_weights_depend_on_the_seed(student, tmp_path):
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        path = tmp_path / f'{number}.pth'
        torch.rand(number)  # whatever was drawn before
        save_initial_weights(student, seed, path)
        saved = torch.load(path, weights_only=True)['state_dict']
        assert saved.keys() == build_network(student).state_dict().keys()
        weights.append(saved['head.fc.weight'])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
