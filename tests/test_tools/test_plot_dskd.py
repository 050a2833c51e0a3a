import json
import runpy
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/plot_dskd.py'
EPOCHS = 4
ITERATIONS = 6

matplotlib.use('Agg')


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(TOOL))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close('all')


def write_run(work_dir, top1, losses=(), branches=2, offset=0.0):
    """Write a log of 4 epochs of 6 iterations, logged after the fifth."""
    path = work_dir / '20240101_000000/vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    with open(path, 'w') as file:
        for epoch in range(1, EPOCHS + 1):
            step = (epoch - 1) * ITERATIONS + 5
            line = dict(loss=1.0, epoch=epoch, iter=step, step=step)
            for loss, terms in losses:
                for i, term in enumerate(terms):
                    for j in range(branches):
                        value = 1 + epoch + 10 * i + 100 * j + offset
                        line[f'{loss}.{term}_{j}'] = value
                        line[f'{loss}.weight_{term}_{j}'] = value / 1000
            file.write(json.dumps(line) + '\n')
            val = {'accuracy/top1': top1 + epoch, 'step': epoch}
            file.write(json.dumps(val) + '\n')
    return str(work_dir)


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def panels(figure, label):
    return [axes for axes in figure.axes if axes.get_ylabel() == label]


def test_every_series_is_drawn(tool, tmp_path):
    terms = ['logit', 'feat', 'label']
    run = write_run(tmp_path / 'dskd', 50, [('dskd', terms)])
    figure = tool['draw_report'](dict(dskd=[run]), [])
    losses = panels(figure, 'loss before weighting')
    weights = panels(figure, 'weight (average 1)')
    assert [axes.get_title().split()[0] for axes in losses] == [
        'Logit',
        'Feature',
        'Label',
    ]
    assert len(weights) == 3
    x = (np.arange(EPOCHS) * ITERATIONS + 5) / ITERATIONS
    for i in range(3):
        for j in range(2):
            label = f'branch {j} (stage {j})'
            expected = 1 + np.arange(1, EPOCHS + 1) + 10 * i + 100 * j
            loss = lines_of(losses[i])[label]
            weight = lines_of(weights[i])[label]
            np.testing.assert_allclose(loss.get_xdata(), x)
            np.testing.assert_allclose(loss.get_ydata(), expected)
            np.testing.assert_allclose(weight.get_ydata(), expected / 1000)
            # A branch has one color in all panels.
            first = lines_of(losses[0])[label]
            assert loss.get_color() == weight.get_color() == first.get_color()


def test_accuracy_and_teacher(tool, tmp_path):
    student = write_run(tmp_path / 'student', 50)
    teachers = [write_run(tmp_path / f't{i}', 80 + i) for i in range(2)]
    figure = tool['draw_report'](dict(student=[student]), teachers)
    (axes,) = figure.axes
    lines = lines_of(axes)
    np.testing.assert_allclose(
        lines['student: 54.00 %'].get_ydata(), [51, 52, 53, 54]
    )
    np.testing.assert_allclose(lines['teacher: 84.50 %'].get_ydata(), 84.5)


def test_runs_of_one_legend_are_averaged(tool, tmp_path):
    runs = [
        write_run(
            tmp_path / f'{i}', 50 + 2 * i, [('dskd', ['feat'])], offset=i
        )
        for i in range(2)
    ]
    figure = tool['draw_report'](dict(dskd=runs), [])
    (losses,) = panels(figure, 'loss before weighting')
    np.testing.assert_allclose(
        lines_of(losses)['branch 0 (stage 0)'].get_ydata(),
        np.arange(1, EPOCHS + 1) + 1.5,
    )
    (accuracy,) = panels(figure, 'top-1 (%)')
    assert 'dskd: 55.00 %' in lines_of(accuracy)
    assert len(accuracy.collections) == 1


def test_each_dskd_loss_has_its_panels(tool, tmp_path):
    run = write_run(
        tmp_path / 'run', 50, [('dskd', ['logit']), ('dskd_2', ['feat'])]
    )
    figure = tool['draw_report'](dict(mine=[run]), [])
    assert [
        axes.get_title() for axes in panels(figure, 'loss before weighting')
    ] == [
        'mine (dskd)\nLogit loss of each branch',
        'mine (dskd_2)\nFeature loss of each branch',
    ]


def test_branches_are_named_by_the_config(tool, tmp_path):
    run = write_run(tmp_path / 'run', 50, [('dskd', ['logit'])])
    config = tmp_path / 'run/20240101_000000/vis_data/config.py'
    config.write_text("""
model = dict(distiller=dict(
    student_recorders=dict(
        shallow=dict(sources=['backbone.layer1', 'backbone.layer2'])),
    loss_forward_mappings=dict(loss_dskd=dict(
        branches=dict(from_student=True, recorder='shallow')))))
""")
    figure = tool['draw_report'](dict(dskd=[run]), [])
    (losses,) = panels(figure, 'loss before weighting')
    assert set(lines_of(losses)) == {
        'branch 0 (backbone.layer1)',
        'branch 1 (backbone.layer2)',
    }
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {'layer1', 'layer2', 'head 0', 'head 1'} <= texts


def test_no_log(tool, tmp_path):
    with pytest.raises(FileNotFoundError, match='scalars.json'):
        tool['draw_report'](dict(dskd=[str(tmp_path)]), [])


def test_cli(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / 'run', 50, [('dskd', ['logit', 'feat'])])
    out = tmp_path / 'report.png'
    monkeypatch.setattr(sys, 'argv', [str(TOOL), run, '-o', str(out)])
    runpy.run_path(str(TOOL), run_name='__main__')
    height, width, _ = plt.imread(out).shape
    assert width >= 1000 and height >= 800
    monkeypatch.setattr(sys, 'argv', [str(TOOL), run, run, '--legend', 'one'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert '1 for 2' in capsys.readouterr().err
