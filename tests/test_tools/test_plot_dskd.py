from pathlib import Path

import pytest
from test_experiments.logs import write_dskd_run


@pytest.fixture
def saved(monkeypatch) -> list:
    """What the tool would draw."""
    calls = []
    monkeypatch.setattr(
        'mmdskd.experiments.report.save_report',
        lambda *args: calls.append(args),
    )
    return calls


def test_picture(run_tool, tmp_path, capsys):
    run = write_dskd_run(tmp_path / 'run', 50, [('dskd', ['logit'])])
    out = tmp_path / 'report.png'
    run_tool('analysis_tools/plot_dskd.py', run, '-o', out)
    assert out.read_bytes().startswith(b'\x89PNG')
    assert capsys.readouterr().out == f'Picture: {out}\n'


def test_runs_of_one_legend_are_one_method(run_tool, saved):
    run_tool(
        'analysis_tools/plot_dskd.py',
        *('a', 'b', 'c'),
        *('--legend', 'kd', 'dskd', 'kd'),
        *('--teacher', 't'),
        *('--metric', 'accuracy/top5'),
    )
    runs = dict(kd=['a', 'c'], dskd=['b'])
    assert saved == [('dskd.png', runs, ['t'], 'accuracy/top5')]


def test_legend_is_by_default_the_name(run_tool, saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run_tool('analysis_tools/plot_dskd.py', 'x/kd', 'y/kd', '.')
    runs = {'kd': ['x/kd', 'y/kd'], Path(tmp_path).name: ['.']}
    assert saved == [('dskd.png', runs, [], 'accuracy/top1')]


def test_legend_of_another_length(run_tool, saved, capsys):
    with pytest.raises(SystemExit):
        run_tool('analysis_tools/plot_dskd.py', 'a', 'b', '--legend', 'one')
    assert '1 for 2' in capsys.readouterr().err
    assert saved == []
