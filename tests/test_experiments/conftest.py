"""Runs that several tests collect."""

from pathlib import Path

import pytest
from test_experiments.logs import write_run


@pytest.fixture
def work_dirs(tmp_path, monkeypatch) -> Path:
    """A folder that holds three runs of one config."""
    monkeypatch.chdir(tmp_path)
    for seed, top1 in enumerate(
        [[60.0, 75.0, 70.0], [72.0, 71.0, 72.0], [70.0, 73.0, 74.0]]
    ):
        write_run(Path(f'work_dirs/kd/seed{seed}'), seed, top1)
    return Path('work_dirs')
