from pathlib import Path

import pytest
from test_experiments.trainings import finish

from mmdskd.experiments.plan import PAIRS, find_methods
from mmdskd.utils.files import find_project_folder

METHODS = ['teacher', 'student', 'kd', 'dskd']
PROJECT = find_project_folder('configs').parent


@pytest.mark.parametrize('pair', PAIRS)
def test_configs_exist(pair):
    configs = find_methods(pair)
    assert list(configs) == METHODS
    teacher, student = pair.split('_')
    for method, names in dict(
        teacher=teacher, student=student, kd=f'kd_{pair}', dskd=f'dskd_{pair}'
    ).items():
        path = PROJECT / configs[method]
        assert path.is_file()
        assert path.stem == f'{names}_{PAIRS[pair]}'


def test_runs_come_after_those_that_they_need(plan_runs, tmp_path):
    runs = plan_runs(seed=2)
    assert list(runs) == METHODS
    for method in ('teacher', 'student'):
        assert runs[method].parents == ()
        assert not runs[method].distilled
    for method in ('kd', 'dskd'):
        assert runs[method].parents == (runs['teacher'], runs['student'])
        assert runs[method].distilled
    for method, run in runs.items():
        assert run.work_dir == tmp_path / 'seed2' / method
        assert run.cfg.randomness.seed == 2
        assert run.max_epochs == 3


def test_extra_configs(plan_runs, monkeypatch):
    monkeypatch.chdir(PROJECT)
    (extra,) = Path('configs/dskd/digits').glob('dskd-uniform_*.py')
    (main,) = Path('configs/dskd/digits').glob('dskd_*.py')
    runs = plan_runs(extra=[str(extra), str(main)])
    assert list(runs) == [*METHODS, extra.stem]
    assert runs[extra.stem].parents == (runs['teacher'], runs['student'])
    assert runs[extra.stem].distilled


def test_missing_extra_config(plan):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.py'):
        plan(extra=['nowhere.py']).runs(0)


def test_one_teacher_for_all_seeds(plan_runs):
    first, second = (plan_runs(seed=seed, one_teacher=True) for seed in (0, 1))
    assert list(first) == METHODS
    assert list(second) == METHODS[1:]
    teacher = second['kd'].parents[0]
    assert teacher.work_dir == first['teacher'].work_dir
    # The same runs as those with a teacher per seed, where they are.
    assert first['kd'].fingerprint == plan_runs()['kd'].fingerprint
    assert second['kd'].fingerprint != plan_runs(seed=1)['kd'].fingerprint


def test_finished_runs_of_later_seeds(plan, plan_runs):
    for seed in range(2):
        finish(plan_runs(seed=seed)['teacher'])
    (run,) = plan().finished_runs(1)
    assert (run.seed, run.method) == (1, 'teacher')
    # They are those of these very configs.
    assert plan('model.head.topk=(1,)').finished_runs(1) == []
