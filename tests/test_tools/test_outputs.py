"""One rule for what tools write, which is checked before the work."""

import pytest
from test_experiments.logs import TOY, write_dskd_run, write_run

# Tool and arguments before the one that names the output, with an ending
TOOLS = {
    'plot': ('analysis_tools/plot_dskd.py', ['run', '-o'], '.png'),
    'curve': ('analysis_tools/exit_curve.py', ['a.py', 'a.pth', '-o'], '.png'),
    'json': (
        'analysis_tools/exit_curve.py',
        ['a.py', 'a.pth', '--json'],
        '.json',
    ),
    'collect': ('misc/collect_results.py', ['run', '--out'], '.json'),
    'make': ('misc/make_dskd_config.py', ['a.py', 'a.py', '-o'], '.py'),
    'student': (
        'model_converters/convert_kd_ckpt_to_student.py',
        ['a.pth', '--out-path'],
        '.pth',
    ),
    'zoo': ('model_converters/convert_kd_zoo_ckpt.py', ['a.pth'], '.pth'),
}


@pytest.fixture(params=TOOLS)
def refuse(request, run_tool, tmp_path, monkeypatch):
    """Run a tool, whose input is not there, into a place."""
    monkeypatch.chdir(tmp_path)
    tool, arguments, suffix = TOOLS[request.param]

    def run(name, *more):
        with pytest.raises(SystemExit) as info:
            run_tool(tool, *arguments, f'{name}{suffix}', *more)
        return str(info.value.code)

    run.suffix, run.tool = suffix, request.param
    return run


def test_file_that_is_there(refuse, tmp_path):
    path = tmp_path / f'old{refuse.suffix}'
    path.write_text('old')
    message = refuse('old')
    assert f'old{refuse.suffix} is there already' in message
    assert message.endswith('or replace it by --force')
    assert 'is there already' not in refuse('old', '--force')
    assert path.read_text() == 'old'


def test_folder(refuse, tmp_path):
    (tmp_path / f'old{refuse.suffix}').mkdir()
    for more in ([], ['--force']):
        assert f"but 'old{refuse.suffix}' is a folder" in (
            refuse('old', *more).replace(f'{tmp_path}/', '')
        )


def test_missing_folder(refuse):
    message = refuse('no/new')
    if refuse.tool == 'zoo':  # It makes the folder, see its docstring.
        assert 'a.pth" does not exist' in message
    else:
        assert 'in a folder that' in message or 'Make it first' in message


def test_folder_that_is_a_file(refuse, tmp_path):
    (tmp_path / 'file').touch()
    assert 'file' in refuse('file/new')
    assert (tmp_path / 'file').read_bytes() == b''


def test_force_replaces(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dskd_run(tmp_path / 'run', 50)
    write_run(tmp_path / 'other', 0, [60.0, 75.0, 70.0])
    for tool, run, option, name, start in (
        ('analysis_tools/plot_dskd.py', 'run', '-o', 'a.png', b'\x89PNG'),
        ('misc/collect_results.py', 'other', '--out', 'a.json', b'{'),
    ):
        (tmp_path / name).write_text('old')
        run_tool(tool, run, option, name, '--force')
        assert (tmp_path / name).read_bytes().startswith(start)
    assert TOY in (tmp_path / 'a.json').read_text()


@pytest.mark.parametrize('name', ['a', 'a.txt', ''])
def test_picture_without_a_format(name, run_tool):
    with pytest.raises(SystemExit, match='name of a picture should end with'):
        run_tool('analysis_tools/plot_dskd.py', 'run', '-o', name)


def test_config_of_another_name(run_tool):
    with pytest.raises(
        SystemExit, match=r"-o should be a config, \*\.py, but got 'a.txt'"
    ):
        run_tool('misc/make_dskd_config.py', 'a.py', 'b.py', '-o', 'a.txt')
