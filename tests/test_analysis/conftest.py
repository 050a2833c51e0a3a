"""Loops of training steps for tests."""

import copy
from typing import Callable

import pytest
from mmengine.config import Config

from mmdskd.analysis.plain_loop import Loop
from mmdskd.analysis.step_comparison import build_loops


@pytest.fixture
def plain_config(kd_config) -> Config:
    """The plain student of ``kd_config``."""
    kd_config.model = kd_config.model.architecture
    kd_config.data_preprocessor = dict(mean=[77.7], std=[33.3])
    kd_config.custom_hooks = []
    return kd_config


@pytest.fixture
def build(tmp_path) -> Callable[..., list[Loop]]:
    """Build the loops of configs, or of pairs of a config and options."""

    def run(*configs, **kwargs) -> list[Loop]:
        made = {}
        for number, config in enumerate(configs, 1):
            cfg, options = (
                config if isinstance(config, tuple) else (config, {})
            )
            cfg = copy.deepcopy(cfg)
            cfg.train_dataloader.batch_size = 8
            cfg.merge_from_dict(options)
            made[f'config {number}'] = cfg
        folder = tmp_path / 'out'
        folder.mkdir()
        return list(build_loops(made, str(folder), **kwargs).values())

    return run
