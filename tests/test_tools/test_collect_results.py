import json
from pathlib import Path

import pytest
from test_experiments.logs import TOY, write_run

README = f'| config | ours |\n|-|-|\n| {TOY} | |\n'


@pytest.fixture
def readme(tmp_path, monkeypatch) -> Path:
    """A README beside the default folder, which holds a finished run."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / 'work_dirs/run', 0, [60.0, 75.0, 70.0])
    path = tmp_path / 'README.md'
    path.write_text(README)
    return path


def test_table_json_and_readme(run_tool, readme, capsys):
    run_tool(
        'misc/collect_results.py',
        '--out',
        'results.json',
        '--readme',
        readme.name,
    )
    out = capsys.readouterr().out
    assert out.startswith('data  method  teacher  student  seeds  last   best')
    assert 'toys  kd      big      small    1      70.00  75.00\n' in out
    assert out.endswith(
        f'\n\nResults: results.json\n\nREADME.md: filled {TOY}\n'
    )
    content = json.loads(Path('results.json').read_text())
    assert content['results'][0]['last'] == dict(mean=70, std=None)
    assert '| 70.00 / 75.00 (1 seed) |' in readme.read_text()


def test_other_metric(run_tool, readme):
    with pytest.raises(
        SystemExit,
        match='^ValueError: none of the 1 runs in work_dirs/run can be used\n'
        r'Left out \(1\):\n'
        "  work_dirs/run: its validations have no 'accuracy/top5', but ",
    ):
        run_tool(
            'misc/collect_results.py',
            'work_dirs/run',
            '--metric',
            'accuracy/top5',
        )


def test_unwritable_json_leaves_the_readme(run_tool, readme):
    with pytest.raises(
        SystemExit,
        match='^FileNotFoundError: --out should be a file in .*nowhere',
    ):
        run_tool(
            'misc/collect_results.py',
            'work_dirs',
            '--readme',
            readme.name,
            '--out',
            'nowhere/results.json',
        )
    assert readme.read_text() == README


def test_missing_readme_is_found_before_the_work(run_tool, readme, tmp_path):
    out = tmp_path / 'figures.json'
    with pytest.raises(
        SystemExit,
        match=r"^FileNotFoundError: --readme .* there is no file 'no.md'\.$",
    ):
        run_tool(
            'misc/collect_results.py',
            'work_dirs',
            *('--readme', readme.name, 'no.md', '--out', out),
        )
    assert not out.exists()
    assert readme.read_text() == README


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
