import numpy as np
import pytest
from mmengine.config import Config
from test_experiments.logs import (
    START,
    train_line,
    write_dskd_run,
    write_recorder_config,
)

from mmdskd.experiments.curves import (
    check_metric,
    find_branches,
    iterations_per_epoch,
    join_curves,
    read_nonempty,
    read_sources,
)
from mmdskd.experiments.run_log import RunLog

EPOCHS = np.arange(1, 5)


@pytest.mark.parametrize(
    'lines, expected',
    [
        ([(5, 1), (11, 2), (17, 3)], 6),
        ([(6, 1), (12, 2)], 6),
        ([(4, 1)], 4),  # the log ends within the first epoch
        ([(10, None), (20, None)], 1),
        ([], 1),
    ],
)
def test_iterations_per_epoch(lines, expected):
    log = RunLog([train_line(*line) for line in lines], [])
    assert iterations_per_epoch(log) == expected


def test_curves_of_several_runs(tmp_path):
    logs = [
        read_nonempty(
            write_dskd_run(
                tmp_path / f'{i}', 50 + 2 * i, [('dskd', ['feat'])], i
            )
        )
        for i in range(2)
    ]
    accuracy = join_curves(logs, 'val', 'accuracy/top1')
    np.testing.assert_allclose(accuracy.x, EPOCHS)
    np.testing.assert_allclose(accuracy.mean, 51 + EPOCHS)
    np.testing.assert_allclose(accuracy.low, 50 + EPOCHS)
    np.testing.assert_allclose(accuracy.high, 52 + EPOCHS)
    losses = join_curves(logs, 'train', 'dskd.feat_1')
    np.testing.assert_allclose(losses.x, (6 * EPOCHS - 1) / 6)
    np.testing.assert_allclose(losses.mean, 101.5 + EPOCHS)
    assert len(join_curves(logs, 'val', 'nothing').x) == 0


def test_runs_that_end_early_are_left_out_where_they_end():
    logs = [
        RunLog([], [dict(step=step, a=value) for step, value in points])
        for points in ([(1, 1.0), (2, 3.0)], [(1, 2.0)])
    ]
    curve = join_curves(logs, 'val', 'a')
    assert [list(values) for values in curve] == [
        [1, 2],
        [1.5, 3.0],
        [1.0, 3.0],
        [2.0, 3.0],
    ]


def test_branches(tmp_path):
    run = write_dskd_run(
        tmp_path, 50, [('dskd', ['logit', 'label']), ('dskd_2', ['feat'])]
    )
    branches = find_branches([read_nonempty(run)])
    assert {
        loss: {term: list(by_number) for term, by_number in terms.items()}
        for loss, terms in branches.items()
    } == dict(dskd=dict(logit=[0, 1], label=[0, 1]), dskd_2=dict(feat=[0, 1]))
    label = branches['dskd']['label'][1]
    np.testing.assert_allclose(label.losses.mean, 111 + EPOCHS)
    np.testing.assert_allclose(label.weights.mean, (111 + EPOCHS) / 1000)


def test_sources(tmp_path):
    run = write_dskd_run(tmp_path, 50, [('dskd', ['logit'])])
    stages = ['stage 0', 'stage 1']
    assert read_sources(run, 'dskd', 2) == stages  # there is no config
    write_recorder_config(run)
    assert read_sources(run, 'dskd', 2) == [
        'backbone.layer1',
        'backbone.layer2',
    ]
    assert read_sources(run, 'other', 2) == stages
    assert read_sources(run, 'dskd', 3) == [*stages, 'stage 2']


def test_the_last_layer_may_be_a_branch(tmp_path):
    run = write_dskd_run(tmp_path, 50, [('dskd', ['logit'])])
    write_recorder_config(run, last_layer=True)
    assert read_sources(run, 'dskd', 3) == [
        'backbone.layer1',
        'backbone.layer2',
        'last layer',
    ]
    # Such as of a log from before it was one.
    assert read_sources(run, 'dskd', 2) == ['stage 0', 'stage 1']


def test_no_log(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'scalars\.json'):
        read_nonempty(tmp_path)


def test_text_in_place_of_a_number():
    log = RunLog([], [dict(step=2, a='x')])
    with pytest.raises(
        ValueError,
        match="'a' should be a number in the log, but is 'x' at step 2",
    ):
        join_curves([log], 'val', 'a')


def test_missing_metric(tmp_path):
    run = write_dskd_run(tmp_path, 50)
    log = read_nonempty(run)
    check_metric(run, log, 'accuracy/top1')
    with pytest.raises(
        ValueError,
        match=f"{run} should have validations with 'mAP', but has those with "
        'accuracy/top1$',
    ):
        check_metric(run, log, 'mAP')
    with pytest.raises(ValueError, match="with 'mAP', but has none$"):
        check_metric(run, RunLog(log.train, []), 'mAP')


def test_config_of_a_stranger_runs_no_code(tmp_path):
    run = write_dskd_run(tmp_path, 50)
    marker = tmp_path / 'marker'
    path = run / START / 'vis_data/config.py'
    path.write_text(f'model = dict(distiller=open({str(marker)!r}, "w"))')
    with pytest.raises(ValueError, match=r'config\.py, line 1: .*open'):
        read_sources(run, 'dskd', 2)
    assert not marker.exists()


@pytest.mark.parametrize(
    'model', [3, None, [], dict(distiller=[]), dict(distiller=dict(x=1))]
)
def test_sources_of_an_odd_config(model, tmp_path):
    run = write_dskd_run(tmp_path, 50)
    Config(dict(model=model)).dump(run / START / 'vis_data/config.py')
    assert read_sources(run, 'dskd', 2) == ['stage 0', 'stage 1']
