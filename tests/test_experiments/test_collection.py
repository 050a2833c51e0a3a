import json
import uuid
from inspect import signature
from pathlib import Path

import pytest
from mmengine.runner import IterBasedTrainLoop
from test_experiments.logs import KD, TOY, write_run, write_run_of_project

from mmdskd.experiments.collection import (
    collect,
    format_collection,
    write_collection,
)

# What follows --resume; MMEngine of OneDL has an option for it.
RESUME_OPTIONS: list[list[str]] = [[]]
if 'fast_forward_on_resume' in signature(IterBasedTrainLoop).parameters:
    RESUME_OPTIONS += [
        ['--cfg-options', 'train_cfg.fast_forward_on_resume=True']
    ]


@pytest.fixture
def write(tmp_path):
    """Write a collection, and read it again."""

    def run(collection):
        path = tmp_path / 'results.json'
        write_collection(str(path), collection)
        return json.loads(path.read_text())

    return run


def test_table(work_dirs):
    """Of 75, 72 and 74, the deviations are 4/3, -5/3 and 1/3."""
    write_run(work_dirs / 'half', 3, [90.0])
    write_run(work_dirs / 'plain', 0, [1.0, 2.0, 3.0], 'my_net_1xb64_x')
    assert format_collection(collect([str(work_dirs)])) == (
        'data  method   teacher  student  seeds  last           best\n'
        'toys  kd       big      small    3      72.00 +- 2.00  '
        '73.67 +- 1.53\n'
        'x     vanilla  -        my_net   1      3.00           3.00\n'
        '\n'
        'accuracy/top1 (%): mean +- standard deviation over seeds; "last" is '
        'after the last epoch; "best" is of the epoch that is best on the '
        'test set itself, which is optimistic\n'
        '\n'
        'Left out (1):\n'
        '  work_dirs/half: not finished: validated up to epoch 1 of 3'
    )


def test_other_settings_are_noted(tmp_path):
    options = {f'model.option{i}': i for i in range(7)}
    write_run_of_project(tmp_path / 'run', 0, 90.0, **options)
    lines = format_collection(collect([str(tmp_path)])).splitlines()
    assert lines[1].split()[-3:] == ['90.00', '90.00', '[1]']
    assert lines[-1] == (
        f'[1] {KD} with model.option0=0, model.option1=1, model.option2=2, '
        'model.option3=3, model.option4=4 and 2 more'
    )


def test_json(work_dirs, write):
    write_run(work_dirs / 'half', 3, [90.0])
    content = write(collect([str(work_dirs)]))
    assert 'optimistic' in content['about']
    assert content['metric'] == 'accuracy/top1'
    (result,) = content['results']
    assert result.pop('last') == pytest.approx(dict(mean=72, std=2))
    assert result.pop('best') == pytest.approx(
        dict(mean=221 / 3, std=(7 / 3) ** 0.5)
    )
    assert result == dict(
        config=TOY,
        data='toys',
        method='kd',
        teacher='big',
        student='small',
        other_settings=[],
        runs=[
            dict(
                path=f'work_dirs/kd/seed{seed}',
                seed=seed,
                last=last,
                best=best,
                best_epoch=epoch,
            )
            for seed, (last, best, epoch) in enumerate(
                [(70, 75, 2), (72, 72, 1), (74, 74, 3)]
            )
        ],
    )
    assert content['left_out'] == [
        dict(
            path='work_dirs/half',
            reason='not finished: validated up to epoch 1 of 3',
        )
    ]


def test_one_seed_has_no_deviation(work_dirs, write):
    (result,) = write(collect(['work_dirs/kd/seed0']))['results']
    assert result['last'] == dict(mean=70, std=None)


def test_other_metric(work_dirs):
    for path in work_dirs.glob('kd/seed1/*/vis_data/scalars.json'):
        path.write_text(path.read_text().replace('top1', 'top5'))
    collection = collect(['work_dirs'], 'accuracy/top5')
    assert collection.results[0].last == [72]
    assert '\naccuracy/top5 (%): ' in format_collection(collection)


def test_no_finished_run(work_dirs):
    write_run(work_dirs / 'x', 0, [1.0])
    with pytest.raises(
        ValueError,
        match='^none of the 1 runs in work_dirs/x can be used\n'
        r'Left out \(1\):\n  work_dirs/x: not finished',
    ):
        collect(['work_dirs/x'])


@pytest.fixture
def train(run_tool, tmp_path):
    """Train by tools/train.py, as in another process."""

    def run(cfg, folder, *options):
        cfg.experiment_name = uuid.uuid4().hex
        path = tmp_path / 'kd_tiny_tinier_1xb20_digits.py'
        cfg.dump(path)
        run_tool('train.py', path, '--work-dir', folder, *options)
        # The next session may start in the same second.
        (session,) = folder.glob('2*')
        number = len(list(folder.glob('1*')))
        session.rename(folder / f'19990101_00000{number}')

    return run


def logged_top1(path):
    """What the log files say, one after the other."""
    lines = []
    for log in sorted(Path(path).glob('*/vis_data/scalars.json')):
        lines += map(json.loads, log.read_text().splitlines())
    return [line['accuracy/top1'] for line in lines if 'iter' not in line]


def test_runs_of_the_real_tool(train, kd_config, tmp_path):
    kd_config.pop('work_dir')
    kd_config.train_cfg.max_epochs = 2
    runs = tmp_path / 'runs'
    short = 'train_cfg.max_epochs=1'
    weight = 'model.distiller.distill_losses.loss_kd.loss_weight=0.9'
    for seed, options in ((3, []), (4, [short]), (5, [short, weight])):
        train(
            kd_config,
            runs / f'seed{seed}',
            '--cfg-options',
            f'randomness.seed={seed}',
            *options,
        )
    train(kd_config, runs / 'seed4', '--resume')
    assert (runs / 'seed3/student_config.py').exists()
    same, other = sorted(
        collect([str(runs)]).results, key=lambda result: -len(result.runs)
    )
    assert other.settings == [weight, short]
    assert [run.seed for run in same.runs] == [3, 4]
    for run, sessions in zip(same.runs, (1, 2)):
        *again, first, last = logged_top1(run.path)
        # A resume validates what it can't know to be validated.
        assert again == [first] * (sessions - 1)
        top1 = first, last
        assert (run.last, run.best) == (top1[1], max(top1))


@pytest.mark.parametrize('options', RESUME_OPTIONS)
def test_real_run_by_iterations(train, kd_config, tmp_path, options):
    kd_config.pop('work_dir')
    kd_config.train_cfg = dict(by_epoch=False, max_iters=8, val_interval=4)
    kd_config.default_hooks = dict(
        logger=dict(type='LoggerHook', interval=3, log_metric_by_epoch=False),
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
    )
    kd_config.log_processor = dict(by_epoch=False)
    kd_config.custom_hooks = []
    run = tmp_path / 'run'
    train(kd_config, run, '--cfg-options', 'train_cfg.max_iters=4')
    train(kd_config, run, '--resume', *options)
    (result,) = collect([str(run)]).results
    again, *top1 = logged_top1(run)
    assert len(top1) == 2
    assert again == top1[0]
    assert (result.last, result.best) == ([top1[1]], [max(top1)])
    assert result.runs[0].best_epoch == (4 if top1[0] >= top1[1] else 8)
