import re
from pathlib import Path

import pytest
from mmengine.config import Config
from test_experiments.logs import (
    START,
    TOY,
    train_line,
    val_line,
    write_log,
    write_run,
    write_session,
)

from mmdskd.experiments.finished_runs import find_runs, read_run, read_runs

METRIC = 'accuracy/top1'
LATER = '20260101_130000'
BY_ITERATION = dict(logger=dict(log_metric_by_epoch=False))


def figures(run):
    return run.seed, run.last, run.best, run.best_epoch


@pytest.mark.parametrize(
    'seed, expected', [(0, (70, 75, 2)), (1, (72, 72, 1)), (2, (74, 74, 3))]
)
def test_figures_by_hand(work_dirs, seed, expected):
    path = work_dirs / f'kd/seed{seed}'
    run = read_run(path, METRIC)
    assert figures(run) == (seed, *expected)
    assert (run.path, run.config, run.started) == (path, TOY, START)


def test_folder_in_a_folder_counts_once(work_dirs):
    runs = [work_dirs / f'kd/seed{seed}' for seed in range(3)]
    folders = ['work_dirs', 'work_dirs/kd', str(work_dirs.resolve())]
    assert find_runs(folders[:1]) == runs
    assert [run.resolve() for run in find_runs(folders)] == [
        run.resolve() for run in runs
    ]
    assert find_runs(['work_dirs/kd/seed1']) == runs[1:2]


def test_wrong_folder(work_dirs):
    with pytest.raises(
        FileNotFoundError, match="there is no folder 'nowhere'"
    ):
        find_runs(['work_dirs', 'nowhere'])
    Path('empty').mkdir()
    with pytest.raises(
        FileNotFoundError,
        match='RUN/<time of start>/vis_data/scalars.json, at any depth, but '
        "there is none in 'empty'",
    ):
        find_runs(['work_dirs', 'empty'])


def test_unfinished_runs_are_left_out(work_dirs):
    paths = [work_dirs / f'kd/seed{seed}' for seed in (2, 3, 4)]
    write_run(paths[1], 3, [90.0, 90.0])
    write_run(paths[2], 4, [])
    runs, left_out = read_runs(paths, METRIC)
    assert [figures(run) for run in runs] == [(2, 74, 74, 3)]
    assert left_out == {
        path: f'not finished: validated up to epoch {epoch} of 3'
        for path, epoch in zip(paths[1:], (2, 0))
    }


def test_resumed_run_is_joined(tmp_path):
    """Epoch 2 was lost, and the config of the resume has another seed."""
    run = write_run(tmp_path, 5, [10.0, 99.0])
    write_session(
        run,
        [30.0, 20.0],
        start=LATER,
        first_epoch=2,
        resume=True,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        randomness=dict(seed=0),
    )
    assert figures(read_run(run, METRIC)) == (5, 20, 30, 2)
    assert read_run(run, METRIC).started == LATER


def test_started_again_in_the_same_folder(tmp_path):
    run = write_run(tmp_path, 5, [10.0, 99.0])
    write_session(
        run,
        [10.0, 30.0, 20.0],
        start=LATER,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        randomness=dict(seed=1),
    )
    assert figures(read_run(run, METRIC)) == (1, 20, 30, 2)


def test_test_runs_do_not_count(work_dirs):
    """tools/test.py leaves a config beside no log, with its own seed."""
    folder = work_dirs / 'kd/seed2/20260105_000000/vis_data'
    folder.mkdir(parents=True)
    Config(dict(randomness=dict(seed=0))).dump(folder / 'config.py')
    assert figures(read_run(work_dirs / 'kd/seed2', METRIC))[0] == 2


# What StudentCheckpointHook and the exports write beside the config of a run
@pytest.mark.parametrize('name', ['student_config.py', 'multi_exit_config.py'])
def test_exported_configs_are_not_that_of_the_run(work_dirs, name):
    run = work_dirs / 'kd/seed0'
    (run / name).touch()
    assert read_run(run, METRIC).config == TOY


def write_run_by_iterations(run, steps, max_iters=30, start=START, **settings):
    """Train by iterations, and validate after each tenth one."""
    settings = dict(
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        randomness=dict(seed=4),
        default_hooks=BY_ITERATION,
        **settings,
    )
    lines = []
    for step, top1 in steps.items():
        # MMEngine counts training by iterations as epoch 1.
        lines += [train_line(step, 1), val_line(step, top1)]
    path = write_log(run, lines, start)
    Config(settings).dump(path.with_name('config.py'))
    Config(settings).dump(run / f'{TOY}.py')


def test_run_by_iterations(tmp_path):
    write_run_by_iterations(tmp_path, {10: 50.0, 20: 70.0, 30: 60.0})
    assert figures(read_run(tmp_path, METRIC)) == (4, 60, 70, 20)


def test_unfinished_run_by_iterations(tmp_path):
    write_run_by_iterations(tmp_path, {10: 50.0, 20: 70.0})
    with pytest.raises(
        ValueError, match='^not finished: validated up to iteration 20 of 30$'
    ):
        read_run(tmp_path, METRIC)


def test_resumed_run_by_iterations_counts_once(tmp_path):
    """Validation 20 was lost with its 99 %, and has been run again."""
    write_run_by_iterations(tmp_path, {10: 58.0, 20: 99.0})
    write_run_by_iterations(
        tmp_path, {20: 55.0, 30: 52.0}, start=LATER, resume=True
    )
    assert figures(read_run(tmp_path, METRIC)) == (4, 52, 58, 10)


def break_config(run):
    next(run.glob('*/vis_data/config.py')).write_text('a = [')


def remove_config(run):
    next(run.glob('*.py')).unlink()


def add_config(run):
    (run / 'b.py').touch()


def break_log(run):
    next(run.glob('*/vis_data/scalars.json')).write_text('{"a":\n1}\n')


def run_code(run):
    path = next(run.glob('*/vis_data/config.py'))
    path.write_text(f'open("{run}/marker", "w")\n' + path.read_text())


def log_text(run):
    write_log(run, [{'accuracy/top1': 'x', 'step': 3}])


def odd_parts(run):
    set_config(run, train_cfg=3, randomness=[], default_hooks='x')


def rename_metric(run):
    path = next(run.glob('*/vis_data/scalars.json'))
    path.write_text(path.read_text().replace('top1', 'top5'))


def set_config(run, **settings):
    Config(settings).dump(next(run.glob('*/vis_data/config.py')))


def forget_length(run):
    set_config(run, train_cfg=dict(by_epoch=True), randomness=dict(seed=0))


def hide_iterations(run):
    set_config(run, train_cfg=dict(max_iters=3), randomness=dict(seed=0))


def forget_seed(run):
    set_config(run, train_cfg=dict(max_epochs=3), randomness=dict(seed=None))


@pytest.mark.parametrize(
    'change, reason',
    [
        (
            break_config,
            r'vis_data/config\.py, line 1: it should be a config as MMEngine '
            'dumps it, but: ',  # each Python has other words
        ),
        (remove_config, r'file name tells what was trained, but holds \[\]'),
        (add_config, rf"but holds \['b', '{TOY}'\]"),
        (run_code, r'config\.py, line 1: .* but got "open\('),
        (
            break_log,
            r'its log cannot be read: .*scalars\.json, line 1: it should be '
            'what MMEngine logs, .* but it is no JSON: .* The log is broken',
        ),
        (
            log_text,
            "its log cannot be read: 'accuracy/top1' should be a number in "
            "the log, but is 'x' at step 3",
        ),
        (odd_parts, 'its config has neither train_cfg'),
        (rename_metric, r"no 'accuracy/top1', but \['accuracy/top5'\]"),
        (
            forget_length,
            r'its config has neither train_cfg\.max_epochs nor '
            r'train_cfg\.max_iters',
        ),
        (
            hide_iterations,
            r'should set default_hooks\.logger\.log_metric_by_epoch=False',
        ),
        (forget_seed, r'its config has no randomness\.seed'),
    ],
)
def test_run_that_cannot_be_read_is_told(work_dirs, change, reason):
    paths = [work_dirs / f'kd/seed{seed}' for seed in range(3)]
    change(paths[0])
    runs, left_out = read_runs(paths, METRIC)
    assert [run.seed for run in runs] == [1, 2]
    assert list(left_out) == paths[:1]
    assert re.search(reason, left_out[paths[0]])
    assert not (paths[0] / 'marker').exists()


def test_other_metric(work_dirs):
    path = work_dirs / 'kd/seed1'
    rename_metric(path)
    assert figures(read_run(path, 'accuracy/top5')) == (1, 72, 72, 1)
