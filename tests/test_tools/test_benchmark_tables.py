import pytest
from test_experiments.kept import make_runs, write_results

from mmdskd.experiments.kept_results import keep_results

TOOL = 'misc/benchmark_tables.py'
EMPTY = '<!-- results: a -->\n<!-- end -->\n'


def test_committed_page_is_what_the_results_give(run_tool, capsys):
    run_tool(TOOL, '--check')
    assert 'docs/benchmarks.md: holds the tables of' in capsys.readouterr().out


def test_fill_and_check(run_tool, tmp_path, capsys):
    page = tmp_path / 'benchmarks.md'
    page.write_text(EMPTY)
    (tmp_path / 'results').mkdir()
    results = write_results(tmp_path / 'results.json', make_runs())
    keep_results(results, tmp_path / 'results/a.json', 'mine', 'title', 'make')
    with pytest.raises(
        SystemExit, match='^ValueError: .*benchmarks.md should hold'
    ):
        run_tool(TOOL, '--docs', tmp_path, '--check')
    assert page.read_text() == EMPTY
    run_tool(TOOL, '--docs', tmp_path)
    assert '**title**' in page.read_text()
    assert capsys.readouterr().out == (
        f'{page}: filled with the tables of 1 comparisons\n'
    )
    run_tool(TOOL, '--docs', tmp_path, '--check')


def test_a_folder_without_the_page(run_tool, tmp_path):
    with pytest.raises(SystemExit) as error:
        run_tool(TOOL, '--docs', tmp_path)
    assert str(error.value) == (
        'FileNotFoundError: --docs should be a folder with benchmarks.md, '
        f'but {str(tmp_path)!r} has none'
    )
