import struct

import numpy as np
from test_experiments.logs import (
    train_line,
    val_line,
    write_dskd_run,
    write_log,
    write_recorder_config,
)

from mmdskd.experiments.report import draw_report, save_report

EPOCHS = np.arange(1, 5)


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def panels(figure, label):
    return [axes for axes in figure.axes if axes.get_ylabel() == label]


def test_every_series_is_drawn(tmp_path):
    terms = ['logit', 'feat', 'label']
    run = write_dskd_run(tmp_path, 50, [('dskd', terms)])
    figure = draw_report(dict(dskd=[run]), [])
    losses = panels(figure, 'loss before weighting')
    weights = panels(figure, 'weight (average 1)')
    assert [axes.get_title().split()[0] for axes in losses] == [
        'Logit',
        'Feature',
        'Label',
    ]
    assert len(weights) == 3
    for i in range(3):
        for j in range(2):
            label = f'branch {j} (stage {j})'
            expected = 1 + EPOCHS + 10 * i + 100 * j
            loss = lines_of(losses[i])[label]
            weight = lines_of(weights[i])[label]
            np.testing.assert_allclose(loss.get_xdata(), EPOCHS - 1 / 6)
            np.testing.assert_allclose(loss.get_ydata(), expected)
            np.testing.assert_allclose(weight.get_ydata(), expected / 1000)
            # A branch has one color in all panels.
            first = lines_of(losses[0])[label]
            assert loss.get_color() == weight.get_color() == first.get_color()


def test_accuracy_and_teacher(tmp_path):
    student = write_dskd_run(tmp_path / 'student', 50)
    teachers = [write_dskd_run(tmp_path / f't{i}', 80 + i) for i in range(2)]
    figure = draw_report(dict(student=[student]), teachers)
    (axes,) = figure.axes
    lines = lines_of(axes)
    np.testing.assert_allclose(
        lines['student: 54.00 %'].get_ydata(), [51, 52, 53, 54]
    )
    np.testing.assert_allclose(lines['teacher: 84.50 %'].get_ydata(), 84.5)
    assert axes.get_xlabel() == 'epoch'


def test_runs_of_one_method_are_averaged(tmp_path):
    runs = [
        write_dskd_run(tmp_path / f'{i}', 50 + 2 * i, [('dskd', ['feat'])], i)
        for i in range(2)
    ]
    figure = draw_report(dict(dskd=runs), [])
    (losses,) = panels(figure, 'loss before weighting')
    np.testing.assert_allclose(
        lines_of(losses)['branch 0 (stage 0)'].get_ydata(), EPOCHS + 1.5
    )
    (accuracy,) = panels(figure, 'top-1 (%)')
    assert 'dskd: 55.00 %' in lines_of(accuracy)
    assert len(accuracy.collections) == 1  # the range
    legend = accuracy.get_legend().get_title().get_text()
    assert legend == 'after the last epoch;\nmean and range of 2 runs'


def test_number_of_runs(tmp_path):
    runs = [write_dskd_run(tmp_path / f'{i}', 50 + i) for i in range(3)]
    for methods, text in (
        (dict(a=runs[:1], b=runs[1:2]), ''),
        (dict(a=runs, b=runs), ';\nmean and range of 3 runs'),
        (dict(a=runs, b=runs[:2]), ';\nmean and range of 2 to 3 runs'),
    ):
        (axes,) = draw_report(methods, []).axes
        title = axes.get_legend().get_title().get_text()
        assert title == f'after the last epoch{text}'


def test_each_dskd_loss_has_its_panels(tmp_path):
    run = write_dskd_run(
        tmp_path, 50, [('dskd', ['logit']), ('dskd_2', ['feat'])]
    )
    figure = draw_report(dict(mine=[run]), [])
    assert [
        axes.get_title() for axes in panels(figure, 'loss before weighting')
    ] == [
        'mine (dskd)\nLogit loss of each branch',
        'mine (dskd_2)\nFeature loss of each branch',
    ]


def test_branches_are_named_by_the_config(tmp_path):
    run = write_dskd_run(tmp_path, 50, [('dskd', ['logit'])])
    write_recorder_config(run)
    figure = draw_report(dict(dskd=[run]), [])
    (losses,) = panels(figure, 'loss before weighting')
    assert set(lines_of(losses)) == {
        'branch 0 (backbone.layer1)',
        'branch 1 (backbone.layer2)',
    }
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {'layer1', 'layer2', 'head 0', 'head 1'} <= texts


def test_the_last_layer_is_a_branch_without_a_head(tmp_path):
    run = write_dskd_run(tmp_path, 50, [('dskd', ['feat'])], branches=3)
    write_recorder_config(run, last_layer=True)
    figure = draw_report(dict(dskd=[run]), [])
    (losses,) = panels(figure, 'loss before weighting')
    assert [label for label in lines_of(losses) if 'last layer' in label] == [
        'branch 2 (last layer)'
    ]
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {'head 0', 'head 1'} <= texts
    assert 'head 2' not in texts


def test_training_by_iterations(tmp_path):
    write_log(tmp_path, [train_line(10, 1), val_line(10, 50.0)])
    (axes,) = draw_report(dict(mine=[tmp_path]), []).axes
    assert axes.get_xlabel() == 'iteration'
    assert list(lines_of(axes)['mine: 50.00 %'].get_xdata()) == [10]


def test_picture(tmp_path):
    run = write_dskd_run(tmp_path / 'run', 50, [('dskd', ['logit', 'feat'])])
    save_report(tmp_path / 'a.png', dict(dskd=[run]), [run])
    header = (tmp_path / 'a.png').read_bytes()[:24]
    assert header.startswith(b'\x89PNG')
    # 10 by 8.8 inches at 130 dots per inch
    assert struct.unpack('>2I', header[16:]) == (1300, 1144)


def test_scores_that_are_nan(tmp_path):
    """As those of a model that holds nan."""
    write_log(tmp_path, [train_line(5, 1, 1.0), val_line(1, float('nan'))])
    figure = draw_report({'dskd': [tmp_path]}, [])
    assert 'dskd: nan %' in lines_of(figure.axes[0])
