"""Runs that StudentCheckpointHook can not serve."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.fileio.backends import HTTPBackend
from mmengine.hooks import CheckpointHook
from mmrazor.registry import MODELS

from mmdskd.engine.hooks import StudentCheckpointHook


def test_plain_model_is_refused(kd_config, build_runner):
    cfg = kd_config
    cfg.model = cfg.model.architecture
    with pytest.raises(TypeError, match='but got ImageClassifier.*remove'):
        build_runner(cfg).train()


def fake_runner(cfg, model, hooks):
    warnings = []
    return SimpleNamespace(
        cfg=cfg,
        model=model,
        hooks=hooks,
        message_hub=SimpleNamespace(
            runtime_info={},
            get_info=lambda key, default: default,
            update_info=lambda key, value: None,
        ),
        logger=SimpleNamespace(warning=warnings.append),
        warnings=warnings,
    )


def test_remote_file_system_is_refused(kd_config):
    model = MODELS.build(copy.deepcopy(kd_config.model))
    checkpoint_hook = CheckpointHook(out_dir='http://host/run')
    checkpoint_hook.file_backend = HTTPBackend()
    runner = fake_runner(kd_config, model, [checkpoint_hook])
    with pytest.raises(ValueError, match='local.*but got "http://host/run"'):
        StudentCheckpointHook().before_train(runner)


def test_wrapped_model_and_missing_parts(kd_config):
    model = torch.nn.DataParallel(MODELS.build(copy.deepcopy(kd_config.model)))
    runner = fake_runner(Config(), model, [])
    StudentCheckpointHook().before_train(runner)
    assert 'no CheckpointHook' in runner.warnings[0]

    checkpoint_hook = CheckpointHook()
    checkpoint_hook.file_backend = LocalBackend()
    runner.hooks.append(checkpoint_hook)
    checkpoint_hook.out_dir = kd_config.work_dir
    StudentCheckpointHook().before_train(runner)
    assert 'without a config' in runner.warnings[1]

    runner.model = torch.nn.DataParallel(torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match='but got Linear'):
        StudentCheckpointHook().before_train(runner)
