import json
import os
import re
import uuid
from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
KD = 'kd_resnet20_resnet8-thin_1xb64_digits'
START = '20260101_120000'


def write_session(run, top1, start=START, first_epoch=1, **settings):
    """Write what MMEngine does: the log, and the config beside it."""
    folder = run / start / 'vis_data'
    folder.mkdir(parents=True)
    lines = []
    for epoch, value in enumerate(top1, first_epoch):
        step = 14 * epoch
        lines.append(dict(lr=0.1, loss=1.0, epoch=epoch, iter=step, step=step))
        lines.append({'accuracy/top1': value, 'time': 0.1, 'step': epoch})
    (folder / 'scalars.json').write_text(
        ''.join(json.dumps(line) + '\n' for line in lines)
    )
    Config(settings).dump(folder / 'config.py')


def write_run(run, config, seed, top1, max_epochs=3, start=START, **settings):
    settings.update(
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        randomness=dict(seed=seed),
        work_dir=str(run),
    )
    write_session(run, top1, start, **settings)
    Config(settings).dump(run / f'{config}.py')
    return run


def write_run_of_project(run, seed, last, **options):
    """Write a run of a config in ``configs/``: 50 %, but in the end."""
    cfg = Config.fromfile(CONFIGS / f'kd/digits/{KD}.py')
    cfg.merge_from_dict({'randomness.seed': seed, **options})
    top1 = [50.0] * (cfg.train_cfg.max_epochs - 1) + [last]
    write_session(run, top1, **cfg.to_dict())
    cfg.dump(run / f'{KD}.py')


@pytest.fixture
def work_dirs(tmp_path, monkeypatch):
    """A folder that holds three runs of one config."""
    monkeypatch.chdir(tmp_path)
    for seed, top1 in enumerate(
        [[60.0, 75.0, 70.0], [72.0, 71.0, 72.0], [70.0, 73.0, 74.0]]
    ):
        write_run(
            Path(f'work_dirs/kd/seed{seed}'),
            'kd_big_small_1xb64_toys',
            seed,
            top1,
        )
    return Path('work_dirs')


@pytest.fixture
def collect(run_tool, capsys, tmp_path):
    """Run the tool; get what it prints, and its JSON."""

    def run(*args):
        out = tmp_path / 'results.json'
        run_tool('misc/collect_results.py', *args, '--out', out)
        return capsys.readouterr().out, json.loads(out.read_text())

    return run


def rows(out):
    return [line.split() for line in out.split('\n\n')[0].splitlines()]


def test_figures_by_hand(work_dirs, collect):
    out, content = collect(work_dirs)
    assert rows(out) == [
        ['data', 'method', 'teacher', 'student', 'seeds', 'last', 'best'],
        [
            'toys',
            'kd',
            'big',
            'small',
            '3',
            '72.00',
            '+-',
            '2.00',
            '73.67',
            '+-',
            '1.53',
        ],
    ]
    assert 'best on the test set itself, which is optimistic' in out
    assert 'optimistic' in content['about']
    (result,) = content['results']
    assert result['config'] == 'kd_big_small_1xb64_toys'
    assert result['last'] == pytest.approx(dict(mean=72, std=2))
    # 75, 72 and 74: deviations 4/3, -5/3 and 1/3; sqrt(42 / 9 / 2)
    assert result['best'] == pytest.approx(
        dict(mean=221 / 3, std=(7 / 3) ** 0.5)
    )
    assert [
        (run['seed'], run['last'], run['best'], run['best_epoch'])
        for run in result['runs']
    ] == [(0, 70, 75, 2), (1, 72, 72, 1), (2, 74, 74, 3)]
    assert content['left_out'] == []


def test_default_folder(work_dirs, collect):
    assert collect() == collect(work_dirs)


def test_one_seed_has_no_deviation(work_dirs, collect):
    out, content = collect(work_dirs / 'kd/seed0')
    assert rows(out)[1][4:] == ['1', '70.00', '75.00']
    assert content['results'][0]['last'] == dict(mean=70, std=None)


def test_names(work_dirs, collect):
    write_run(work_dirs / 'a', 'net16-2_8xb256_my-toys', 0, [1.0, 2.0, 3.0])
    write_run(work_dirs / 'b', 'my_config', 0, [1.0, 2.0, 3.0])
    assert [row[:4] for row in rows(collect(work_dirs)[0])[2:]] == [
        ['-', 'my_config', '-', '-'],
        ['my-toys', 'vanilla', '-', 'net16-2'],
    ]


def test_unfinished_run_is_named_and_left_out(work_dirs, collect):
    write_run(
        work_dirs / 'kd/seed3', 'kd_big_small_1xb64_toys', 3, [90.0, 90.0]
    )
    write_run(work_dirs / 'kd/seed4', 'kd_big_small_1xb64_toys', 4, [])
    out, content = collect(work_dirs)
    assert rows(out)[1][4:8] == ['3', '72.00', '+-', '2.00']
    assert content['left_out'] == [
        dict(
            path=f'work_dirs/kd/seed{seed}',
            reason=f'not finished: validated up to epoch {epoch} of 3',
        )
        for seed, epoch in ((3, 2), (4, 0))
    ]
    assert (
        'Left out (2):\n  work_dirs/kd/seed3: not finished: validated up '
        'to epoch 2 of 3\n'
    ) in out


@pytest.mark.parametrize(
    'start, newer', [('20260102_000000', True), ('20251231_235959', False)]
)
def test_newest_of_a_seed_counts(work_dirs, collect, start, newer):
    write_run(
        work_dirs / 'again',
        'kd_big_small_1xb64_toys',
        0,
        [1.0, 2.0, 40.0],
        start=start,
    )
    # Not finished, so it takes nobody's place
    write_run(
        work_dirs / 'half',
        'kd_big_small_1xb64_toys',
        1,
        [99.0],
        start='20260103_000000',
    )
    out, content = collect(work_dirs)
    (result,) = content['results']
    assert [run['last'] for run in result['runs']] == (
        [40, 72, 74] if newer else [70, 72, 74]
    )
    old, new = 'work_dirs/kd/seed0', 'work_dirs/again'
    old, new = (old, new) if newer else (new, old)
    assert (
        f'  {old}: same config, settings and seed (0) as {new}, which '
        'was started later\n'
    ) in out
    assert '  work_dirs/half: not finished' in out


def test_folder_in_a_folder_counts_once(work_dirs, collect):
    out, content = collect(work_dirs, 'work_dirs/kd', work_dirs.resolve())
    assert rows(out)[1][4:8] == ['3', '72.00', '+-', '2.00']
    assert content['left_out'] == []


def test_resumed_run_is_joined(tmp_path, collect):
    """Epoch 2 was lost, and the config of the resume has another seed."""
    run = write_run(
        tmp_path / 'run', 'kd_big_small_1xb64_toys', 5, [10.0, 99.0]
    )
    write_session(
        run,
        [30.0, 20.0],
        start='20260101_130000',
        first_epoch=2,
        resume=True,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        randomness=dict(seed=0),
    )
    (result,) = collect(tmp_path)[1]['results']
    assert result['runs'] == [
        dict(path=str(run), seed=5, last=20, best=30, best_epoch=2)
    ]


def test_started_again_in_the_same_folder(tmp_path, collect):
    run = write_run(
        tmp_path / 'run', 'kd_big_small_1xb64_toys', 5, [10.0, 99.0]
    )
    write_session(
        run,
        [10.0, 30.0, 20.0],
        start='20260101_130000',
        train_cfg=dict(by_epoch=True, max_epochs=3),
        randomness=dict(seed=1),
    )
    (result,) = collect(tmp_path)[1]['results']
    assert result['runs'] == [
        dict(path=str(run), seed=1, last=20, best=30, best_epoch=2)
    ]


def test_test_runs_do_not_count(work_dirs, collect):
    """tools/test.py leaves a config beside no log, with its own seed."""
    folder = work_dirs / 'kd/seed2/20260105_000000/vis_data'
    folder.mkdir(parents=True)
    Config(dict(randomness=dict(seed=0))).dump(folder / 'config.py')
    out, content = collect(work_dirs)
    assert [run['seed'] for run in content['results'][0]['runs']] == [0, 1, 2]


def train(run_tool, cfg, folder, *options):
    """Train by tools/train.py, as in another process."""
    cfg.experiment_name = uuid.uuid4().hex
    path = folder.parent / f'kd_tiny_tinier_1xb20_{folder.parent.name}.py'
    cfg.dump(path)
    run_tool('train.py', path, '--work-dir', folder, *options)
    # The next session may start in the same second.
    (session,) = folder.glob('2*')
    session.rename(folder / f'19990101_00000{len(list(folder.glob("1*")))}')


def test_runs_of_the_real_tool(run_tool, kd_config, tmp_path, collect):
    kd_config.pop('work_dir')
    kd_config.train_cfg.max_epochs = 2
    runs = tmp_path / 'digits'
    runs.mkdir()
    train(
        run_tool,
        kd_config,
        runs / 'seed3',
        '--cfg-options',
        'randomness.seed=3',
    )
    train(
        run_tool,
        kd_config,
        runs / 'seed4',
        '--cfg-options',
        'randomness.seed=4',
        'train_cfg.max_epochs=1',
    )
    train(run_tool, kd_config, runs / 'seed4', '--resume')
    train(
        run_tool,
        kd_config,
        runs / 'seed5',
        '--cfg-options',
        'randomness.seed=5',
        'train_cfg.max_epochs=1',
        'model.distiller.distill_losses.loss_kd.loss_weight=0.9',
    )
    out, content = collect(runs)
    assert (runs / 'seed3/student_config.py').exists()
    same, other = sorted(
        content['results'], key=lambda result: -len(result['runs'])
    )
    assert other['other_settings'] == [
        'model.distiller.distill_losses.loss_kd.loss_weight=0.9',
        'train_cfg.max_epochs=1',
    ]
    assert [run['seed'] for run in same['runs']] == [3, 4]
    for run in same['runs']:
        lines = []
        for log in sorted(Path(run['path']).glob('*/vis_data/scalars.json')):
            lines += map(json.loads, log.read_text().splitlines())
        top1 = [line['accuracy/top1'] for line in lines if 'iter' not in line]
        assert len(top1) == 2
        assert (run['last'], run['best']) == (top1[1], max(top1))
    assert same['last']['mean'] == pytest.approx(
        sum(run['last'] for run in same['runs']) / 2
    )


def test_settings_of_a_run_are_told(run_tool, tmp_path, collect):
    """What a real run leaves differs from its config by nothing else."""
    (config,) = CONFIGS.glob('dskd/digits/dskd_resnet20_resnet8-thin_*.py')
    run_tool(
        'train.py',
        config,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        'model.teacher_ckpt=None',
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.dataset.indices=64',
        'val_dataloader.dataset.dataset.indices=64',
        'randomness.seed=7',
    )
    (result,) = collect(tmp_path)[1]['results']
    assert result['other_settings'] == [
        'model.teacher_ckpt=None',
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.dataset.indices=64',
        'val_dataloader.dataset.dataset.indices=64',
    ]
    assert [run['seed'] for run in result['runs']] == [7]


def test_settings_that_change_no_result(tmp_path, collect):
    write_run_of_project(tmp_path / '0', 0, 90.0)
    write_run_of_project(
        tmp_path / '1',
        1,
        92.0,
        **{
            'model.teacher_ckpt': '/elsewhere.pth',
            'train_dataloader.num_workers': 4,
            'train_dataloader.dataset.dataset.data_root': '/data',
            'default_hooks.checkpoint.interval': 1,
            'resume': True,
            'load_from': 'epoch_5.pth',
        },
    )
    (result,) = collect(tmp_path)[1]['results']
    assert result['other_settings'] == []
    assert result['last']['mean'] == 91


@pytest.mark.parametrize(
    'option, value',
    [
        ('launcher', 'pytorch'),
        ('load_from', 'other.pth'),
        ('val_cfg.fp16', True),
        ('val_evaluator.topk', (5,)),
    ],
)
def test_settings_that_change_a_result(tmp_path, collect, option, value):
    """A config for one device has another batch size on several."""
    write_run_of_project(tmp_path / '0', 0, 90.0, **{option: value})
    (result,) = collect(tmp_path)[1]['results']
    (setting,) = result['other_settings']
    assert setting.startswith(f'{option}')


README = f"""# KD

No table: ours | {KD} |

| config | others | Ours are not | ours (last / best) |
|-|-:|:-:|-|
| [20-8](digits/{KD}.py) | 1 / 2 | a \\| b | |
| [other](digits/{KD}2.py) | | | 33 |
| `kd_big_small_1xb64_toys` | 3 | | old |

| config | what |
|:-|:-|
| {KD} | no such column |
|ours|config|
|-|-|
||{KD}|"""


def test_readme(work_dirs, collect, tmp_path):
    write_run_of_project(work_dirs / 'digits', 0, 90.0)
    path = tmp_path / 'README.md'
    path.write_bytes(README.replace('\n', '\r\n').encode())
    # Fewer runs at first: the figures are replaced.
    collect(work_dirs / 'digits', work_dirs / 'kd/seed1', '--readme', path)
    for _ in range(2):
        out, _ = collect(work_dirs, '--readme', path)
        expected = README.replace(
            'a \\| b | |', 'a \\| b | 90.00 / 90.00 (1 seed) |'
        ).replace('| old |', '| 72.00 +- 2.00 / 73.67 +- 1.53 (3 seeds) |')
        expected = expected.replace(
            f'||{KD}|', f'| 90.00 / 90.00 (1 seed) |{KD}|'
        )
        assert path.read_bytes().decode() == expected.replace('\n', '\r\n')
        assert f'{path}: filled kd_big_small_1xb64_toys' in out
        assert f'{path}: filled {KD}' in out


def test_other_settings_stay_out_of_a_readme(tmp_path, collect):
    weight = {'model.distiller.distill_losses.loss_kd.loss_weight': 0.9}
    write_run_of_project(tmp_path / 'a', 0, 90.0, **weight)
    write_run_of_project(tmp_path / 'b', 1, 92.0, **weight)
    readme = tmp_path / 'README.md'
    readme.write_text(README)
    out, content = collect(tmp_path, '--readme', readme)
    assert readme.read_text() == README
    text = (
        f'{KD} with model.distiller.distill_losses.loss_kd.loss_weight=0.9\n'
    )
    assert f'[1] {text}' in out
    assert f'Not filled in: {text}' in out
    # Such runs take no place, and get none of a run as configured.
    write_run_of_project(tmp_path / 'c', 1, 80.0)
    out, content = collect(tmp_path, '--readme', readme)
    assert [
        (result['last']['mean'], len(result['other_settings']))
        for result in content['results']
    ] == [(91, 1), (80, 0)]
    assert '| a \\| b | 80.00 / 80.00 (1 seed) |' in readme.read_text()


def test_runs_of_a_config_that_is_gone_are_compared(work_dirs, collect):
    write_run(
        work_dirs / 'x',
        'kd_big_small_1xb64_toys',
        0,
        [1.0, 1.0, 1.0],
        model=dict(a=[dict(b=1), dict(b=2)]),
    )
    out, content = collect(work_dirs)
    assert [result['other_settings'] for result in content['results']] == [
        [],
        ['model.a.0.b=1', 'model.a.1.b=2'],
    ]
    write_run(
        work_dirs / 'y',
        'kd_big_small_1xb64_toys',
        0,
        [1.0, 1.0, 1.0],
        model=dict(a=[dict(b=1), dict(b=3)]),
    )
    content = collect(work_dirs)[1]
    assert [result['other_settings'] for result in content['results']] == [
        [],
        ['model.a.0.b=1', 'model.a.1.b=2'],
        ['model.a.0.b=1', 'model.a.1.b=3'],
    ]


def test_many_settings_are_cut_in_the_table_only(tmp_path, collect):
    options = {f'model.option{i}': i for i in range(7)}
    write_run_of_project(tmp_path / 'run', 0, 90.0, **options)
    out, content = collect(tmp_path)
    assert 'model.option4=4, 2 more\n' in out
    assert len(content['results'][0]['other_settings']) == 7


def test_config_without_row_is_told(work_dirs, collect, tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text('| config | ours |\n|-|-|\n| none | |\n')
    out, _ = collect(work_dirs, '--readme', readme)
    assert (
        'Not filled in: kd_big_small_1xb64_toys has no row in a table '
        'with a column "ours"'
    ) in out


GOOD = '| config | ours |\n|-|-|\n| kd_big_small_1xb64_toys | |\n'


@pytest.mark.parametrize(
    'bad, message',
    [
        (
            GOOD.replace('ours', 'theirs'),
            'bad.md: there should be a table with a column "ours"',
        ),
        (
            GOOD.replace('toys | |', 'toys |'),
            'bad.md: line 3 should be a row about one config, with a cell in '
            'column 2',
        ),
        (
            GOOD.replace('toys |', 'toys, b_1xb1_c |'),
            'bad.md: line 3 should be a row about one config',
        ),
    ],
)
def test_bad_readme_leaves_all_as_they_are(
    work_dirs, collect, tmp_path, bad, message
):
    write_run(work_dirs / 'b', 'b_1xb1_c', 0, [1.0, 1.0, 1.0])
    good = tmp_path / 'good.md'
    good.write_text(GOOD)
    (tmp_path / 'bad.md').write_text(bad)
    with pytest.raises(SystemExit, match=f'^ValueError: {message}'):
        collect(work_dirs, '--readme', good, 'bad.md')
    assert good.read_text() == GOOD
    with pytest.raises(SystemExit, match="there is no file 'no.md'"):
        collect(work_dirs, '--readme', good, 'no.md')
    assert good.read_text() == GOOD


def test_failed_write_leaves_the_old_readme(
    work_dirs, run_tool, tmp_path, monkeypatch
):
    readme = tmp_path / 'README.md'
    readme.write_text(GOOD)

    def fail(*args):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(SystemExit, match='disk full'):
        run_tool('misc/collect_results.py', work_dirs, '--readme', readme)
    assert readme.read_text() == GOOD
    assert sorted(os.listdir(tmp_path)) == ['README.md', 'work_dirs']


def break_config(run):
    next(run.glob('*/vis_data/config.py')).write_text('a = [')


def remove_config(run):
    next(run.glob('*.py')).unlink()


def add_config(run):
    (run / 'b.py').touch()


def break_log(run):
    next(run.glob('*/vis_data/scalars.json')).write_text('{"a":\n1}\n')


def rename_metric(run):
    path = next(run.glob('*/vis_data/scalars.json'))
    path.write_text(path.read_text().replace('top1', 'top5'))


def set_config(run, **settings):
    Config(settings).dump(next(run.glob('*/vis_data/config.py')))


def train_by_iterations(run):
    set_config(run, train_cfg=dict(max_iters=3), randomness=dict(seed=0))


def forget_seed(run):
    set_config(run, train_cfg=dict(max_epochs=3), randomness=dict(seed=None))


@pytest.mark.parametrize(
    'change, reason',
    [
        (
            break_config,
            r'config\.py cannot be read as a config \(SyntaxError: ',
        ),
        (remove_config, r'file name tells what was trained, but holds \[\]'),
        (add_config, r"but holds \['b', 'kd_big_small_1xb64_toys'\]"),
        (break_log, 'its log cannot be read'),
        (
            rename_metric,
            r"no 'accuracy/top1', but \['accuracy/top5', 'time'\]",
        ),
        (train_by_iterations, 'its config has no train_cfg.max_epochs'),
        (forget_seed, 'its config has no randomness.seed'),
    ],
)
def test_run_that_cannot_be_read_is_told(work_dirs, collect, change, reason):
    change(work_dirs / 'kd/seed0')
    out, content = collect(work_dirs)
    assert [run['seed'] for run in content['results'][0]['runs']] == [1, 2]
    (left_out,) = content['left_out']
    assert left_out['path'] == 'work_dirs/kd/seed0'
    assert re.search(reason, left_out['reason'])
    assert f'  work_dirs/kd/seed0: {left_out["reason"]}\n' in out


def test_other_metric(work_dirs, collect):
    rename_metric(work_dirs / 'kd/seed1')
    out, content = collect(work_dirs, '--metric', 'accuracy/top5')
    assert content['metric'] == 'accuracy/top5'
    assert content['results'][0]['last']['mean'] == 72
    assert 'accuracy/top5 (%): ' in out


def test_no_finished_run(work_dirs, collect, capsys):
    write_run(work_dirs / 'x', 'a', 0, [1.0])
    with pytest.raises(
        SystemExit,
        match='^ValueError: none of the 1 runs in work_dirs/x can be used',
    ):
        collect(work_dirs / 'x')
    assert 'work_dirs/x: not finished' in capsys.readouterr().out


def test_wrong_folder(work_dirs, collect, tmp_path):
    with pytest.raises(
        SystemExit, match="^FileNotFoundError: .*there is no folder 'nowhere'"
    ):
        collect(work_dirs, 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(
        SystemExit,
        match='^FileNotFoundError: .*RUN/<time of start>/vis_data/'
        "scalars.json, at any depth, but there is none in 'empty'",
    ):
        collect(work_dirs, 'empty')


def test_unwritable_json_leaves_the_readme(work_dirs, run_tool, tmp_path):
    (tmp_path / 'README.md').write_text(GOOD)
    with pytest.raises(SystemExit, match='No such file.*nowhere'):
        run_tool(
            'misc/collect_results.py',
            work_dirs,
            '--readme',
            'README.md',
            '--out',
            'nowhere/results.json',
        )
    assert (tmp_path / 'README.md').read_text() == GOOD


def test_help(run_tool, capsys):
    with pytest.raises(SystemExit) as info:
        run_tool('misc/collect_results.py', '--help')
    assert info.value.code == 0
    out = capsys.readouterr().out
    for text in (
        '--readme',
        '--out',
        '--metric',
        'randomness.seed=$seed',
        'optimistic',
        'started earlier',
    ):
        assert text in out
