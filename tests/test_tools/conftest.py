import copy
import uuid
from pathlib import Path
from typing import Callable

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope


@pytest.fixture
def dump(tmp_path) -> Callable[[Config], str]:
    """Write a config as a file, for a runner that shares nothing with those
    before it."""

    def write(cfg: Config) -> str:
        cfg.experiment_name = uuid.uuid4().hex
        path = tmp_path / f'{cfg.experiment_name}.py'
        cfg.dump(path)
        return str(path)

    return write


@pytest.fixture
def plain_config(kd_config) -> Config:
    """The plain student of ``kd_config``, for one epoch."""
    cfg = kd_config
    cfg.model = cfg.model.architecture
    cfg.data_preprocessor = dict(mean=[77.7], std=[33.3])
    cfg.custom_hooks = []
    cfg.train_cfg.max_epochs = 1
    return cfg


@pytest.fixture
def dskd_run(dskd_config, dump, tmp_path) -> tuple[str, Path]:
    """Config and checkpoint of a DSKD run whose heads are sure of something,
    though hardly ever right."""
    torch.manual_seed(3)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(copy.deepcopy(dskd_config.model))
    for head in algorithm.distiller.connectors['heads'].heads:
        head.classifier.weight.data.normal_(std=10)
    path = tmp_path / 'epoch_1.pth'
    torch.save(
        dict(meta=dict(epoch=1), state_dict=algorithm.state_dict()), path
    )
    return dump(dskd_config), path
