import json
import os
import time

import pytest

from mmdskd.experiments.run_log import read_run_log, training_seconds


def write_session(work_dir, start, lines, end='\n'):
    path = work_dir / start / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(line) for line in lines) + end)
    return path


def train_line(step, epoch, loss):
    return dict(loss=loss, epoch=epoch, iter=step, step=step)


def val_line(epoch, top1):
    return {'accuracy/top1': top1, 'step': epoch}


@pytest.fixture
def resumed(tmp_path):
    """A run that broke off in epoch 3, and went on after epoch 1."""
    write_session(
        tmp_path,
        '20240101_235959',
        [
            train_line(5, 1, 1.0),
            val_line(1, 10.0),
            train_line(10, 2, 2.0),
            val_line(2, 20.0),
            train_line(15, 3, 3.0),
        ],
    )
    write_session(
        tmp_path,
        '20240102_000000',
        [train_line(10, 2, 4.0), val_line(2, 40.0)],
    )
    return tmp_path


def test_later_session_replaces_what_was_lost(resumed):
    log = read_run_log(resumed)
    assert [line['loss'] for line in log.train] == [1.0, 4.0]
    assert [line['accuracy/top1'] for line in log.val] == [10.0, 40.0]


def test_fresh_start_replaces_all(resumed):
    write_session(resumed, '20240103_000000', [train_line(5, 1, 7.0)])
    assert read_run_log(resumed) == ([train_line(5, 1, 7.0)], [])


def test_one_file(resumed):
    log = read_run_log(resumed / '20240101_235959/vis_data/scalars.json')
    assert [line['step'] for line in log.train] == [5, 10, 15]


def test_training_by_iterations(tmp_path):
    write_session(
        tmp_path,
        '20240101_000000',
        [dict(loss=1.0, iter=10, step=10), val_line(10, 5.0)],
    )
    write_session(
        tmp_path, '20240101_000001', [dict(loss=2.0, iter=20, step=20)]
    )
    log = read_run_log(tmp_path)
    assert [line['step'] for line in log.train] == [10, 20]
    assert [line['step'] for line in log.val] == [10]


def test_cut_line_is_left_out(tmp_path):
    path = write_session(tmp_path, '20240101_000000', [train_line(5, 1, 1.0)])
    with open(path, 'a') as file:
        file.write('{"loss": 0.')
    assert len(read_run_log(tmp_path).train) == 1


def test_no_log(tmp_path):
    assert read_run_log(tmp_path) == ([], [])


def test_training_seconds_are_summed(tmp_path):
    for name, seconds in (('20240101_120000', 30), ('20240102_120000', 12)):
        path = write_session(tmp_path, name, [train_line(5, 1, 1.0)])
        end = time.mktime(time.strptime(name, '%Y%m%d_%H%M%S')) + seconds
        os.utime(path, (end, end))
    assert training_seconds(tmp_path) == 42
