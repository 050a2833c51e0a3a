"""Runs that several tests use."""

from pathlib import Path
from typing import Callable

import pytest
from test_experiments.logs import write_run
from test_experiments.trainings import TINY

from mmdskd.experiments.plan import Plan
from mmdskd.experiments.training_run import TrainingRun


@pytest.fixture
def work_dirs(tmp_path, monkeypatch) -> Path:
    """A folder that holds three runs of one config."""
    monkeypatch.chdir(tmp_path)
    for seed, top1 in enumerate(
        [[60.0, 75.0, 70.0], [72.0, 71.0, 72.0], [70.0, 73.0, 74.0]]
    ):
        write_run(Path(f'work_dirs/kd/seed{seed}'), seed, top1)
    return Path('work_dirs')


@pytest.fixture
def plan(tmp_path) -> Callable[..., Plan]:
    """Plan short runs."""

    def make(*options: str, **kwargs) -> Plan:
        return Plan(
            tmp_path,
            'resnet20_resnet8-thin',
            options=[*TINY, *options],
            **kwargs,
        )

    return make


@pytest.fixture
def plan_runs(plan) -> Callable[..., dict[str, TrainingRun]]:
    """Plan the short runs of a seed, by method."""

    def make(*options: str, seed: int = 0, **kwargs):
        runs = plan(*options, **kwargs).runs(seed)
        return {run.method: run for run in runs}

    return make
