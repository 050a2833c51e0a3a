"""Looking at the run of a stranger runs none of its code."""

import json

import pytest
from test_experiments.logs import TOY, write_dskd_run, write_run

CODE = 'open({!r}, "w")\nmodel = dict()\n'


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A run all of whose configs write a file if they are executed."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / 'runs/stranger'
    write_run(run, 0, [60.0, 75.0, 70.0])
    write_dskd_run(run, 50, [('dskd', ['logit'])])
    code = CODE.format(str(tmp_path / 'marker'))
    for path in [*run.glob('*.py'), *run.glob('*/vis_data/config.py')]:
        path.write_text(code)
    (run / 'student_config.py').write_text(code)
    yield run
    assert not (tmp_path / 'marker').exists()


def test_plot(run_tool, hostile):
    with pytest.raises(
        SystemExit,
        match=r'^ValueError: .*vis_data/config.py, line 1: it should hold '
        r'lines "key = value" of plain values, .* but got "open\(',
    ):
        run_tool('analysis_tools/plot_dskd.py', hostile, '-o', 'a.png')


def test_collection(run_tool, hostile):
    with pytest.raises(
        SystemExit, match=r'(?s)config.py, line 1: .*executing'
    ):
        run_tool('misc/collect_results.py', 'runs')


def test_collection_beside_a_good_run(run_tool, hostile, capsys):
    write_run(hostile.with_name('good'), 1, [60.0, 75.0, 71.0])
    run_tool('misc/collect_results.py', 'runs')
    out = capsys.readouterr().out
    assert '71.00' in out
    assert 'Left out (1):\n  runs/stranger: ' in out


def test_config_of_the_run_is_only_named(run_tool, hostile, capsys):
    """Its file name is all that is asked of it."""
    good = hostile.with_name('good')
    write_run(good, 1, [60.0, 75.0, 71.0])
    (good / f'{TOY}.py').write_text(CODE.format('marker'))
    run_tool('misc/collect_results.py', good)
    assert '71.00' in capsys.readouterr().out


def test_kept_results(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [
        dict(
            method='kd',
            seed=0,
            accuracy_top1=70.0,
            params=1,
            seconds=1.0,
            config=str(tmp_path / 'evil.py'),
            options=[],
        )
    ]
    (tmp_path / 'results.json').write_text(json.dumps(results))
    (tmp_path / 'evil.py').write_text(CODE.format('marker'))
    arguments = 'misc/keep_results.py', 'results.json', 'kept.json'
    run_tool(*arguments, '--title', 'a', '--command', 'b')
    assert (tmp_path / 'kept.json').exists()
    assert not (tmp_path / 'marker').exists()
