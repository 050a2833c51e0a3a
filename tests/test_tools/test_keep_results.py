import pytest
from test_experiments.kept import make_runs, write_results

from mmdskd.analysis.measure import describe_machine
from mmdskd.experiments.kept_results import read_kept

TOOL = 'misc/keep_results.py'


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / 'results.json', make_runs())


def test_new_file_and_new_title(run_tool, results, tmp_path, capsys):
    kept = tmp_path / 'kept.json'
    run_tool(TOOL, results, kept, '--title', 'old', '--command', 'make demo')
    assert capsys.readouterr().out == f'{kept}: 10 runs added, 0 were there\n'
    run_tool(
        TOOL, results, kept, '--title', 'new', '--reference', 'kd', 'dskd'
    )
    assert capsys.readouterr().out == f'{kept}: 0 runs added, 10 were there\n'
    found = read_kept(kept)
    assert found.machine == describe_machine()
    assert (found.title, found.command, found.reference) == (
        'new',
        'make demo',
        ['kd', 'dskd'],
    )


def test_machine(run_tool, results, tmp_path):
    kept = tmp_path / 'kept.json'
    run_tool(
        TOOL,
        *(results, kept, '--title', 't', '--command', 'c'),
        *('--machine', 'a laptop'),
    )
    assert read_kept(kept).machine == 'a laptop'


def test_wrong_input(run_tool, results, tmp_path):
    with pytest.raises(
        SystemExit, match='^ValueError: title and command should be given'
    ):
        run_tool(TOOL, results, tmp_path / 'kept.json')
    for name, state in [('none.json', 'is not there'), ('', 'is a folder')]:
        with pytest.raises(SystemExit) as error:
            run_tool(TOOL, tmp_path / name, tmp_path / 'kept.json')
        assert str(error.value).endswith(
            f'{tmp_path / name} should be a JSON file, such as results.json '
            f'of tools/demo.py, but {state}'
        )

    deep = tmp_path / 'deep.json'
    deep.write_text('[' * 100_000)
    with pytest.raises(SystemExit, match='deep.json should be JSON, but: it '):
        run_tool(TOOL, deep, tmp_path / 'kept.json')
