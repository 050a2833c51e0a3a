import copy

import pytest
from mmengine.registry import MODELS

from mmdskd.engine.checks.distillation_check import check_distillation
from mmdskd.engine.checks.run_check import check_before_training


@pytest.fixture
def run_config(dskd_config):
    """DSKD by a frozen teacher, to be changed."""
    dskd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    return dskd_config


def change(cfg, changes):
    """Change what lies in the distiller, or from the model or config on."""
    cfg.merge_from_dict(
        {
            key
            if key.startswith(('model.', 'cfg.'))
            else f'model.distiller.{key}': value
            for key, value in changes.items()
        }
    )
    for key, value in (cfg.pop('cfg', None) or {}).items():
        cfg[key] = value


@pytest.fixture
def check_model(run_config):
    """Build a changed algorithm, and check it."""

    def run(changes):
        change(run_config, changes)
        model = MODELS.build(copy.deepcopy(run_config.model))
        check_distillation(model)
        return model

    return run


@pytest.fixture
def check_runner(run_config, build_runner):
    """Build the runner of a changed config, and check it as before training.

    Returns the runner.
    """

    def run(changes=(), **kwargs):
        run_config.merge_from_dict(dict(changes), **kwargs)
        runner = build_runner(run_config)
        check_before_training(runner)
        return runner

    return run
