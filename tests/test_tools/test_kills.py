"""Runs that are killed by SIGKILL and resumed: the command of
``kill_runs.py`` with a few kills."""

import sys

import kill_runs
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != 'linux', reason='forks, and /proc'),
]

KILLS = {
    'dskd epochs': [
        dict(point='half: last_checkpoint', number=2),
        dict(point=r'before save: best_.*', number=2),
        dict(point='after_train_iter', number=9, delay=0.05),
    ],
    'kd iterations ema': [
        dict(point='before replace: iter_12.pth'),
        dict(point='after_val_iter', number=3),
    ],
    'vanilla within epochs': [dict(point='before_train_iter', number=11)],
}


def test_killed_runs_end_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', [*sys.path])
    runs = kill_runs.Runs(tmp_path)
    results = []
    try:
        for name, kills in KILLS.items():
            folder = kill_runs.reference(name)
            assert runs.train(kill_runs.RUNS[name], folder, {}) == 0
            results += [
                kill_runs.try_kill(runs, name, kill, str(kill))
                for kill in kills
            ]
    finally:
        runs.close()
    assert all(result['killed'] for result in results)
    assert [result['differences'] for result in results] == [[]] * 6
