import os
import time

import pytest
from test_experiments.logs import train_line, val_line, write_log

from mmdskd.experiments.run_log import read_run_log, training_seconds


@pytest.fixture
def resumed(tmp_path):
    """A run that broke off in epoch 3, and went on after epoch 1."""
    write_log(
        tmp_path,
        [
            train_line(5, 1, 1.0),
            val_line(1, 10.0),
            train_line(10, 2, 2.0),
            val_line(2, 20.0),
            train_line(15, 3, 3.0),
        ],
        '20240101_235959',
    )
    write_log(
        tmp_path,
        [train_line(10, 2, 4.0), val_line(2, 40.0)],
        '20240102_000000',
    )
    return tmp_path


def test_later_session_replaces_what_was_lost(resumed):
    log = read_run_log(resumed)
    assert [line['loss'] for line in log.train] == [1.0, 4.0]
    assert [line['accuracy/top1'] for line in log.val] == [10.0, 40.0]


def test_fresh_start_replaces_all(resumed):
    write_log(resumed, [train_line(5, 1, 7.0)], '20240103_000000')
    assert read_run_log(resumed) == ([train_line(5, 1, 7.0)], [])


def test_one_file(resumed):
    log = read_run_log(resumed / '20240101_235959/vis_data/scalars.json')
    assert [line['step'] for line in log.train] == [5, 10, 15]


# MMEngine's log_processor counts training by iterations as epoch 1, unless
# it is told not to.
@pytest.mark.parametrize('epoch', [None, 1])
def test_training_by_iterations(tmp_path, epoch):
    write_log(tmp_path, [train_line(10, epoch), val_line(10, 5.0)], '2024_1')
    write_log(tmp_path, [train_line(20, epoch)], '2024_2')
    log = read_run_log(tmp_path)
    assert log.train == [train_line(10), train_line(20)]
    assert log.val == [val_line(10, 5.0)]


@pytest.mark.parametrize('epoch', [None, 1])
def test_validations_by_iterations_are_read_once(tmp_path, epoch):
    """Resumed after iteration 20, before training is logged."""
    write_log(
        tmp_path,
        [
            *(val_line(step, step) for step in (20, 40, 60)),
            train_line(100, epoch, 1.0),
            *(val_line(step, step) for step in (100, 120)),
            train_line(200, epoch, 2.0),
        ],
        '2024_1',
    )
    second = [val_line(step, step + 0.5) for step in (40, 60)]
    write_log(tmp_path, second, '2024_2')
    log = read_run_log(tmp_path)
    assert log == ([], [val_line(20, 20), *second])


def test_evaluation_of_the_teacher_is_no_validation(tmp_path):
    write_log(tmp_path, [{'teacher/accuracy/top1': 9.0, 'step': 0}])
    assert read_run_log(tmp_path) == ([], [])


def test_cut_line_is_left_out(tmp_path):
    path = write_log(tmp_path, [train_line(5, 1)])
    with open(path, 'a') as file:
        file.write('{"loss": 0.')
    assert len(read_run_log(tmp_path).train) == 1


def test_no_log(tmp_path):
    assert read_run_log(tmp_path) == ([], [])


def test_training_seconds_are_summed(tmp_path):
    for name, seconds in (('20240101_120000', 30), ('20240102_120000', 12)):
        path = write_log(tmp_path, [train_line(5, 1)], name)
        end = time.mktime(time.strptime(name, '%Y%m%d_%H%M%S')) + seconds
        os.utime(path, (end, end))
    assert training_seconds(tmp_path) == 42


GOOD = b'{"accuracy/top1": 70.0, "step": 1}\n'


@pytest.mark.parametrize(
    'line, reason',
    [
        (b'nonsense\n', 'it is no JSON: Expecting value'),
        (b'\x80\x02PK\xff\n', "it is no JSON: 'utf-8' codec can't decode"),
        (b'{"step": 2\n', 'it is no JSON: Expecting'),
        (b'[' * 100_000 + b'\n', 'it has too many brackets'),
        (b'\n', 'it is no JSON: Expecting value'),
        (b'[1, 2]\n', 'it holds a list'),
        (b'{"loss": 1.0}\n', "'step' is None"),
        (b'{"step": "2"}\n', "'step' is '2'"),
        (b'{"step": 2, "iter": 1.5}\n', "'iter' is 1.5"),
        (b'{"step": 2, "iter": 2, "epoch": null}\n', "'epoch' is None"),
        (b'{"step": true}\n', "'step' is True"),
    ],
    ids=range(11),
)
def test_broken_line_is_named(line, reason, tmp_path):
    path = write_log(tmp_path, [])
    path.write_bytes(GOOD + line + GOOD)
    with pytest.raises(ValueError) as info:
        read_run_log(tmp_path)
    message = str(info.value)
    assert message.startswith(
        f'{path}, line 2: it should be what MMEngine logs, such as '
        f'{{"accuracy/top1": 70.0, "step": 1}}, but {reason}'
    )
    assert message.endswith('The log is broken, or the file is another one.')


def test_last_line_may_be_cut(tmp_path):
    path = write_log(tmp_path, [])
    path.write_bytes(GOOD + b'{"accuracy/to')
    assert read_run_log(tmp_path).val == [val_line(1, 70.0)]
    path.write_bytes(b'')
    assert read_run_log(tmp_path) == ([], [])


def test_a_pipe_is_no_log(tmp_path):
    folder = tmp_path / '20240101_235959/vis_data'
    folder.mkdir(parents=True)
    os.mkfifo(folder / 'scalars.json')
    with pytest.raises(OSError, match=r'scalars.json should be a file, but'):
        read_run_log(tmp_path)
