from collections import defaultdict
from pathlib import Path

import pytest
from test_experiments.logs import TOY, write_run, write_run_of_project

from mmdskd.experiments.finished_runs import find_runs, read_runs
from mmdskd.experiments.results import Result, format_settings, make_results
from mmdskd.utils.files import find_project_folder

CONFIGS = find_project_folder('configs')
LEAVES = sorted(
    path.relative_to(CONFIGS)
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts
)
# Methods of the configs in each folder, and what they train without a teacher
METHODS = dict(
    vanilla={'vanilla'},
    kd={'kd'},
    dskd={
        'dskd',
        'dskd-dwa',
        'dskd-inverse',
        'dskd-label',
        'dskd-last',
        'dskd-proportional',
        'dskd-uniform',
    },
    mix={
        'dskd',
        'dskd-crd',
        'dskd-dist',
        'dskd-dkd',
        'dskd-pkd',
        'dskd-self',
        'dskd-std',
        'finetune',
        'kd',
        'prune-fisher',
        'prune-l1',
    },
)
ALONE = {'vanilla', 'dskd-self', 'finetune', 'prune-fisher', 'prune-l1'}
DATA = dict(
    tiny_imagenet={'tiny-imagenet'},
    imagenet={'in1k'},
    fashion_mnist={'fashion-mnist', 'fashion-mnist6k'},
)


def labels(config):
    return tuple(Result(config, [], []).labels.values())


def test_labels_agree_with_the_folders():
    methods = defaultdict(set)
    for path in LEAVES:
        family, folder, _ = path.parts
        data, method, teacher, student = labels(path.stem)
        assert data in DATA.get(folder, {folder})
        assert (teacher == '-') == (method in ALONE)
        parts = [method, teacher, student]
        words = [part for part in parts if part not in ('-', 'vanilla')]
        assert path.stem.rpartition('_')[0].rpartition('_')[0] == '_'.join(
            words
        )
        assert '_' not in student
        methods[family].add(method)
    assert methods == METHODS


@pytest.mark.parametrize(
    'config, expected',
    [
        (TOY, ('toys', 'kd', 'big', 'small')),
        ('net16-2_8xb256_my-toys', ('my-toys', 'vanilla', '-', 'net16-2')),
        ('my_config', ('-', 'my_config', '-', '-')),
        # Plain training of a network whose name has two parts
        ('my_net_1xb64_x', ('x', 'vanilla', '-', 'my_net')),
        ('prunes_net_1xb64_x', ('x', 'vanilla', '-', 'prunes_net')),
        ('dskd-self_net_1xb64_x', ('x', 'dskd-self', '-', 'net')),
        ('finetune_net-l1_1xb64_x', ('x', 'finetune', '-', 'net-l1')),
        ('prune-l1_net_1xb64_x', ('x', 'prune-l1', '-', 'net')),
        ('prune-l1_my_net_1xb64_x', ('x', 'prune-l1', '-', 'my_net')),
        ('kd_a_my_net_1xb64_x', ('x', 'kd', 'a', 'my_net')),
    ],
)
def test_labels(config, expected):
    assert labels(config) == expected


def results_of(folder):
    runs, left_out = read_runs(find_runs([str(folder)]), 'accuracy/top1')
    results, repeats = make_results(runs)
    return results, {**left_out, **repeats}


def test_runs_of_a_config_are_taken_together(work_dirs):
    (result,), left_out = results_of(work_dirs)
    assert (result.config, result.settings) == (TOY, [])
    assert result.last == [70, 72, 74]
    assert result.best == [75, 72, 74]
    assert left_out == {}


@pytest.mark.parametrize(
    'start, newer', [('20260102_000000', True), ('20251231_235959', False)]
)
def test_newest_of_a_seed_counts(work_dirs, start, newer):
    old, new = work_dirs / 'kd/seed0', work_dirs / 'again'
    write_run(new, 0, [1.0, 2.0, 40.0], start=start)
    # Not finished, so it takes nobody's place
    write_run(work_dirs / 'half', 1, [99.0], start='20260103_000000')
    (result,), left_out = results_of(work_dirs)
    assert result.last == ([40, 72, 74] if newer else [70, 72, 74])
    old, new = (old, new) if newer else (new, old)
    assert left_out == {
        old: f'same config, settings and seed (0) as {new}, which was '
        'started later',
        work_dirs / 'half': 'not finished: validated up to epoch 1 of 3',
    }


def test_settings_are_compared_to_the_config_of_the_project(tmp_path):
    weight = {'model.distiller.distill_losses.loss_kd.loss_weight': 0.9}
    write_run_of_project(tmp_path / 'a', 0, 90.0)
    write_run_of_project(
        tmp_path / 'b', 1, 92.0, **{'train_dataloader.num_workers': 4}
    )
    write_run_of_project(tmp_path / 'c', 1, 80.0, **weight)
    plain, other = results_of(tmp_path)[0]
    assert (plain.settings, plain.last) == ([], [90, 92])
    assert other.settings == [
        'model.distiller.distill_losses.loss_kd.loss_weight=0.9'
    ]
    assert other.last == [80]


def test_settings_of_a_real_run_are_told(run_tool, tmp_path):
    """What a run leaves differs from its config by nothing else."""
    (config,) = CONFIGS.glob('dskd/digits/dskd_resnet20_resnet8-thin_*.py')
    options = [
        'model.teacher_ckpt=None',
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.dataset.indices=64',
        'val_dataloader.dataset.dataset.indices=64',
    ]
    run_tool(
        'train.py',
        config,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *options,
        'randomness.seed=7',
    )
    (result,), left_out = results_of(tmp_path)
    assert result.settings == options
    assert [run.seed for run in result.runs] == [7]
    assert left_out == {}


def test_runs_of_a_config_that_is_gone_are_compared(work_dirs):
    for name, values in (('x', [1, 2]), ('y', [1, 3])):
        model = dict(a=[dict(b=value) for value in values])
        write_run(work_dirs / name, 0, [1.0, 1.0, 1.0], model=model)
        if name == 'x':
            assert [
                result.settings for result in results_of(work_dirs)[0]
            ] == [[], ['model.a.0.b=1', 'model.a.1.b=2']]
    assert [result.settings for result in results_of(work_dirs)[0]] == [
        [],
        ['model.a.0.b=1', 'model.a.1.b=2'],
        ['model.a.0.b=1', 'model.a.1.b=3'],
    ]


def test_settings_that_are_missing_are_none(work_dirs):
    model = dict(a=1)
    write_run(work_dirs / 'x', 0, [1.0, 1.0, 1.0], model=model)
    run = Path(work_dirs, 'kd/seed1')
    runs, _ = read_runs([run, work_dirs / 'x'], 'accuracy/top1')
    results, _ = make_results(runs)
    assert [result.settings for result in results] == [[], ['model.a=1']]


def test_many_settings_are_cut():
    settings = [f'a{i}={i}' for i in range(7)]
    assert format_settings(settings[:2]) == 'a0=0, a1=1'
    assert format_settings(settings) == (
        'a0=0, a1=1, a2=2, a3=3, a4=4 and 2 more'
    )
