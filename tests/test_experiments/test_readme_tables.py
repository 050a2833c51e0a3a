import os

import pytest
from test_experiments.logs import KD, TOY

from mmdskd.experiments.finished_runs import FinishedRun
from mmdskd.experiments.readme_tables import fill_readmes, format_cell
from mmdskd.experiments.results import Result

README = f"""# KD

No table: ours | {KD} |

| config | others | Ours are not | ours (last / best) |
|-|-:|:-:|-|
| [20-8](digits/{KD}.py) | 1 / 2 | a \\| b | |
| [other](digits/{KD}2.py) | | | 33 |
| `{TOY}` | 3 | | old |

| config | what |
|:-|:-|
| {KD} | no such column |
|ours|config|
|-|-|
||{KD}|"""
GOOD = f'| config | ours |\n|-|-|\n| {TOY} | |\n'


@pytest.fixture(autouse=True)
def work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_result(config, last, best, settings=()):
    runs = [
        FinishedRun(None, config, {}, seed, '', *values, 1)
        for seed, values in enumerate(zip(last, best))
    ]
    return Result(config, list(settings), runs)


def toy(last=(70, 72, 74), best=(75, 72, 74), config=TOY):
    return make_result(config, last, best)


def test_cell():
    assert format_cell(toy()) == '72.00 +- 2.00 / 73.67 +- 1.53 (3 seeds)'
    assert format_cell(toy([70], [75])) == '70.00 / 75.00 (1 seed)'


def test_readme(tmp_path):
    path = tmp_path / 'README.md'
    path.write_bytes(README.replace('\n', '\r\n').encode())
    digits = make_result(KD, [90.0], [90.0])
    # Fewer runs at first: the figures are replaced.
    fill_readmes([path.name], [digits, toy([72], [72])])
    assert b'| 72.00 / 72.00 (1 seed) |' in path.read_bytes()
    expected = (
        README.replace('a \\| b | |', 'a \\| b | 90.00 / 90.00 (1 seed) |')
        .replace('| old |', '| 72.00 +- 2.00 / 73.67 +- 1.53 (3 seeds) |')
        .replace(f'||{KD}|', f'| 90.00 / 90.00 (1 seed) |{KD}|')
    )
    for _ in range(2):
        assert fill_readmes([path.name], [digits, toy()]) == (
            f'README.md: filled {TOY}\nREADME.md: filled {KD}'
        )
        assert path.read_bytes().decode() == expected.replace('\n', '\r\n')


def test_other_settings_stay_out_of_a_readme(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(README)
    other = make_result(KD, [90.0, 92.0], [90.0, 92.0], ['a.b=0.9'])
    message = f'Not filled in: {KD} with a.b=0.9'
    assert fill_readmes(['README.md'], [other]) == message
    assert readme.read_text() == README
    # Such runs take no place, and get none of a run as configured.
    plain = make_result(KD, [80.0], [80.0])
    assert fill_readmes(['README.md'], [other, plain]) == (
        f'README.md: filled {KD}\n{message}'
    )
    assert '| a \\| b | 80.00 / 80.00 (1 seed) |' in readme.read_text()


def test_config_without_row_is_told(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text('| config | ours |\n|-|-|\n| none | |\n')
    assert fill_readmes(['README.md'], [toy()]) == (
        f'Not filled in: {TOY} has no row in a table with a column "ours"'
    )


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
def test_bad_readme_leaves_all_as_they_are(tmp_path, bad, message):
    good = tmp_path / 'good.md'
    good.write_text(GOOD)
    (tmp_path / 'bad.md').write_text(bad)
    results = [toy(), toy(config='b_1xb1_c')]
    with pytest.raises(ValueError, match=f'^{message}'):
        fill_readmes(['good.md', 'bad.md'], results)
    assert good.read_text() == GOOD
    with pytest.raises(FileNotFoundError, match="there is no file 'no.md'"):
        fill_readmes(['good.md', 'no.md'], results)
    assert good.read_text() == GOOD


def test_failed_write_leaves_the_old_readme(tmp_path, monkeypatch):
    readme = tmp_path / 'README.md'
    readme.write_text(GOOD)

    def fail(*args):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='disk full'):
        fill_readmes(['README.md'], [toy()])
    assert readme.read_text() == GOOD
    assert os.listdir(tmp_path) == ['README.md']
