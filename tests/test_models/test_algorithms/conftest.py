import pytest
import torch
from mmrazor.registry import MODELS
from teacher_helpers import FROZEN, make_teacher


@pytest.fixture
def config(dskd_config, tmp_path):
    """DSKD with the frozen teacher, and its checkpoint."""
    path = str(tmp_path / 'teacher.pth')
    teacher = make_teacher(dskd_config.model.teacher)
    torch.save(dict(state_dict=teacher.state_dict()), path)
    dskd_config.model.type = FROZEN
    dskd_config.model.teacher_ckpt = path
    return dskd_config


@pytest.fixture
def build(config):
    """Build the algorithm with changed arguments, in training mode."""

    def run(**changes):
        config.merge_from_dict(
            {
                f'model.{key.replace("__", ".")}': value
                for key, value in changes.items()
            }
        )
        torch.manual_seed(0)
        algorithm = MODELS.build(config.model)
        algorithm.init_weights()
        algorithm.train()
        return algorithm

    return run
