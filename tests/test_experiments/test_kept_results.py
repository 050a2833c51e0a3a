import datetime
import json
import os

import pytest
from test_experiments.kept import make_run, make_runs, write_results

from mmdskd.experiments.kept_results import keep_results, read_kept

TEXT = """{
 "title": "two seeds",
 "command": "make demo",
 "machine": "mine",
 "date": "DATE",
 "reference": ["kd"],
 "runs": [
  {"method": "kd", "seed": 0, "accuracy_top1": 90.0, "params": 1, \
"seconds": 2.5, "config": "a.py"},
  {"method": "dskd", "seed": 0, "accuracy_top1": 91.5, "params": 1, \
"seconds": 3, "config": "b.py"}
 ]
}
"""


def plain_run(method, seed, top1, **changes):
    """A run without what older runs lack."""
    return dict(
        dict(
            method=method,
            seed=seed,
            accuracy_top1=top1,
            params=1,
            seconds=2.5,
            config='a.py',
            checkpoint='epoch_1.pth',
        ),
        **changes,
    )


@pytest.fixture
def keep(tmp_path):
    """Keep runs in a file."""

    def run(runs, machine='mine', **kwargs):
        results = write_results(tmp_path / 'results.json', runs)
        return keep_results(results, tmp_path / 'kept.json', machine, **kwargs)

    return run


@pytest.fixture
def kept(tmp_path, keep):
    """The file with two seeds of KD and DSKD."""
    runs = [
        make_run(method, seed, [50.0, 90.0 + seed])
        for seed in (0, 2)
        for method in ('kd', 'dskd')
    ]
    keep(runs, title='two seeds', command='make demo')
    return tmp_path / 'kept.json'


def today():
    return datetime.date.today().isoformat()


def test_one_run_is_one_line(tmp_path, keep):
    message = keep(
        [
            plain_run('kd', 0, 90.0),
            plain_run('dskd', 0, 91.5, seconds=3, config='b.py'),
        ],
        title='two seeds',
        command='make demo',
    )
    path = tmp_path / 'kept.json'
    assert message == f'{path}: 2 runs added, 0 were there'
    assert path.read_text() == TEXT.replace('DATE', today())


def test_all_but_the_checkpoint_is_kept(kept):
    run = make_run('kd', 2, [50.0, 92.0])
    del run['checkpoint']
    assert read_kept(kept).by_method['kd'][2] == run


def test_added_runs_are_in_order(kept, keep, tmp_path):
    kept.write_text(kept.read_text().replace(today(), '2020-01-01'))
    before = kept.read_text().splitlines()
    message = keep(
        [
            make_run('mine', 0, [95.0]),
            make_run('dskd', 1, [93.0]),
            make_run('kd', 1, [92.0]),
            # It is there; another machine takes another time.
            make_run('kd', 0, [50.0, 90.0], seconds=1.0),
        ],
        machine='yours',
        reference=['kd', 'dskd'],
    )
    assert message == f'{kept}: 3 runs added, 4 were there'
    results = read_kept(kept)
    assert [(run['method'], run['seed']) for run in results.runs] == [
        ('kd', 0),
        ('dskd', 0),
        ('mine', 0),
        ('kd', 1),
        ('dskd', 1),
        ('kd', 2),
        ('dskd', 2),
    ]
    assert results[:5] == (
        'two seeds',
        'make demo',
        'mine; yours',
        today(),
        ['kd', 'dskd'],
    )
    # The lines of the other runs stay as they were.
    assert set(before[6:-2]) <= set(kept.read_text().splitlines())
    text = kept.read_text()
    keep([make_run('kd', 1, [92.0])], machine='yours')
    assert kept.read_text() == text


def test_what_is_known_is_no_new_date(kept, keep):
    text = kept.read_text().replace(today(), '2020-01-01')
    kept.write_text(text)
    keep([make_run('kd', 0, [50.0, 90.0])], 'yours', title='new', command='c')
    assert kept.read_text() == text.replace('two seeds', 'new').replace(
        'make demo', 'c'
    )


@pytest.mark.parametrize(
    'run, message',
    [
        (
            make_run('kd', 0, [90.5]),
            'kd with seed 0 has top-1 90.5, but is kept with 90.0. A kept run '
            'is never replaced',
        ),
        (
            make_run('kd', 5, [90.0], ['a=1']),
            'should differ by nothing but the seed, but options is '
            r"\['a=1'\] in kd with seed 5, and \[\] in kd with seed 0",
        ),
        (
            make_run('kd', 5, [90.0], config='b.py'),
            "config is 'b.py' in kd with seed 5",
        ),
    ],
)
def test_what_does_not_fit_is_refused(kept, keep, run, message):
    text = kept.read_text()
    with pytest.raises(ValueError, match=message):
        keep([make_run('dskd', 7, [90.0]), run])
    assert kept.read_text() == text


@pytest.mark.parametrize(
    'runs, message',
    [
        ([], 'should hold a list of runs'),
        (dict(runs=[]), 'should hold a list of runs'),
        (['kd'], "a run should be a dict with .* 'method' is None in 'kd'"),
        ([plain_run('kd', '0', 90.0)], "'seed' is '0'"),
        ([plain_run('kd', True, 90.0)], "'seed' is True"),
        ([plain_run('kd', 0, None)], "'accuracy_top1' is None"),
        (
            [plain_run('kd', 0, 100.5)],
            'from 0 to 100, but is 100.5 in kd with seed 0',
        ),
        ([plain_run('kd', 0, float('nan'))], 'from 0 to 100, but is nan'),
        (
            [make_run('kd', 0, [90.0], top1_by_epoch={'last': 90.0})],
            'should be by epoch, .* but has last in kd with seed 0',
        ),
        (
            [plain_run('kd', 0, 90.0), plain_run('kd', 0, 90.0)],
            'has several of kd with seed 0',
        ),
        (
            [make_run('kd', 0, [90.0]), make_run('kd', 1, [90.0], ['a=1'])],
            r"options is \['a=1'\] in kd with seed 1, and \[\] in kd with",
        ),
    ],
)
def test_wrong_results(tmp_path, keep, runs, message):
    with pytest.raises(ValueError, match=f'results.json.*{message}'):
        keep(runs, title='t', command='c')
    assert os.listdir(tmp_path) == ['results.json']


def test_wrong_files(tmp_path, keep, kept):
    broken = tmp_path / 'broken.json'
    broken.write_text('{')
    with pytest.raises(ValueError, match='broken.json should be JSON, but:'):
        read_kept(broken)
    broken.write_text('[]')
    with pytest.raises(
        ValueError, match='broken.json should hold title, command, machine'
    ):
        read_kept(broken)
    content = json.loads(kept.read_text())
    for reference in (['kd', 'dksd'], ['dksd']):
        broken.write_text(json.dumps(dict(content, reference=reference)))
        with pytest.raises(
            ValueError, match=r'methods of the runs \(kd, dskd\), but got dksd'
        ):
            read_kept(broken)
    text = kept.read_text()
    with pytest.raises(ValueError, match=r'\(kd, dskd\), but got dksd'):
        keep([make_run('kd', 0, [50.0, 90.0])], reference=['dksd'])
    assert kept.read_text() == text


def test_new_file_needs_a_title_and_a_command(tmp_path, keep):
    for given in (dict(title='t'), dict(command='c'), {}):
        with pytest.raises(
            ValueError, match='title and command should be given .*kept.json'
        ):
            keep(make_runs(), **given)
    results = write_results(tmp_path / 'results.json', make_runs())
    with pytest.raises(ValueError, match=r'kept should be a file \*.json'):
        keep_results(results, tmp_path / 'kept', 'mine', 't', 'c')
    with pytest.raises(FileNotFoundError):
        keep_results(
            tmp_path / 'none.json', tmp_path / 'kept.json', 'mine', 't', 'c'
        )
    assert os.listdir(tmp_path) == ['results.json']
