from pathlib import Path

import pytest
from test_experiments.trainings import finish

from mmdskd.experiments.plan import METHODS, Variant
from mmdskd.utils.files import find_project_folder

PROJECT = find_project_folder('configs').parent


def test_runs_come_after_those_that_they_need(plan_runs, tmp_path):
    runs = plan_runs(seed=2)
    assert tuple(runs) == METHODS
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
    (main,) = Path('configs/dskd/digits').glob('dskd_resnet20_*.py')
    runs = plan_runs(extra=[str(extra), str(main)])
    assert list(runs) == [*METHODS, extra.stem]
    assert runs[extra.stem].parents == (runs['teacher'], runs['student'])
    assert runs[extra.stem].distilled


def test_missing_extra_config(plan):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.py'):
        plan(extra=['nowhere.py']).runs(0)


def test_one_teacher_for_all_seeds(plan_runs):
    first, second = (plan_runs(seed=seed, one_teacher=True) for seed in (0, 1))
    assert tuple(first) == METHODS
    assert tuple(second) == METHODS[1:]
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


LOSS = 'model.distiller.distill_losses.loss_{}.loss_weight'


def test_variants(plan_runs, monkeypatch):
    monkeypatch.chdir(PROJECT)
    half = LOSS.format('kd') + '=0.5'
    config = 'configs/dskd/digits/dskd-uniform_resnet20_resnet8-thin_'
    variants = {
        'half': Variant('dskd', [half]),
        'kd-half': Variant('kd', [half]),
        'same': Variant('kd'),
        'uniform-half': Variant(f'{config}1xb64_digits.py', [half]),
    }
    runs = plan_runs(variants=variants)
    assert list(runs) == [*METHODS, *variants]
    for name, variant in variants.items():
        assert runs[name].work_dir.name == name
        assert runs[name].parents == (runs['teacher'], runs['student'])
        assert (half in runs[name].options) == bool(variant.options)
    weights = {
        name: run.cfg.model.distiller.distill_losses.loss_kd.loss_weight
        for name, run in runs.items()
        if run.distilled
    }
    full = weights['kd']
    assert weights == {
        'kd': full,
        'dskd': full,
        'half': 0.5,
        'kd-half': 0.5,
        'same': full,
        'uniform-half': 0.5,
    }
    assert runs['half'].config == runs['dskd'].config
    assert runs['half'].fingerprint != runs['dskd'].fingerprint
    assert runs['same'].fingerprint == runs['kd'].fingerprint


@pytest.mark.parametrize('name', ['kd', 'a/b', '../kd', '-a', ''])
def test_name_of_a_variant(plan, name):
    with pytest.raises(
        ValueError,
        match=f'should be new, and of letters.*but got {name!r} beside '
        'teacher, student, kd, dskd',
    ):
        plan(variants={name: Variant('dskd')}).runs(0)


@pytest.mark.parametrize(
    'methods, extra, names',
    [
        (['student'], [], ['student']),
        (['dskd'], [], ['teacher', 'dskd']),
        (['student'], ['mine'], ['teacher', 'student', 'mine']),
    ],
)
def test_some_methods(plan_runs, methods, extra, names):
    variants = {name: Variant('kd') for name in extra}
    assert list(plan_runs(methods=methods, variants=variants)) == names


def test_teacher_of_another_folder(plan, plan_runs, tmp_path):
    here = tmp_path / 'here'

    def runs(*options, **kwargs):
        plan_ = plan(*options, teacher_from=tmp_path, **kwargs)
        return plan_._replace(work_dir=here).runs

    theirs = plan_runs()['teacher']
    with pytest.raises(
        FileNotFoundError,
        match='seed0/teacher should hold a finished run of configs/vanilla/'
        r'digits/resnet20_1xb64_digits\.py, but does not',
    ):
        runs()(0)
    finish(theirs)
    # Whatever the settings of this plan
    teacher, student, kd, _ = runs('val_dataloader.batch_size=3')(0)
    assert teacher.result == theirs.result
    assert teacher.fingerprint == theirs.fingerprint
    assert kd.is_ready and kd.parents == (teacher, student)
    assert kd.work_dir == here / 'seed0/kd'
    with pytest.raises(FileNotFoundError, match='seed1/teacher should hold'):
        runs()(1)
    (student, *_) = runs(one_teacher=True)(1)
    assert student.method == 'student'
    with pytest.raises(
        ValueError,
        match=r'should hold a run of .*/wrn40-2_1xb16_digits32\.py, but '
        r'holds one of .*/resnet20_1xb64_digits\.py',
    ):
        plan(teacher_from=tmp_path)._replace(pair='wrn40-2_shufflenetv1').runs(
            0
        )


def test_teachers_of_another_folder_may_be_fewer(plan, plan_runs, tmp_path):
    """Runs of later seeds that have another teacher don't count."""
    finish(plan_runs()['teacher'])
    here = plan(teacher_from=tmp_path)._replace(work_dir=tmp_path / 'here')
    for seed in (0, 1):
        (tmp_path / f'here/seed{seed}').mkdir(parents=True)
    assert here.finished_runs(1) == []
