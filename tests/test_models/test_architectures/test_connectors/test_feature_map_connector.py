import pytest
import torch

from mmdskd.models import FeatureMapConnector
from mmdskd.registry import MODELS


def test_runs_by_config_and_without_parameters():
    connector = MODELS.build(
        dict(
            type='mmdskd.FeatureMapConnector',
            layout=dict(order='NLC', num_extra_tokens=1),
        )
    )
    tokens = torch.rand(2, 10, 4, requires_grad=True)
    feature_map = connector(tokens)
    assert feature_map.shape == (2, 4, 3, 3)
    # Position (row 1, column 2) is token 5 after the class token.
    assert torch.equal(feature_map[:, :, 1, 2], tokens[:, 1 + 5])
    feature_map[:, :, 1, 2].sum().backward()
    assert tokens.grad.sum() == 2 * 4
    assert not list(connector.parameters())


def test_auto_has_to_be_resolved():
    with pytest.raises(ValueError, match='FeatureMapConnector: layout should'):
        FeatureMapConnector('auto')
