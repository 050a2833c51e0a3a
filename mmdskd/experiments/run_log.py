"""Read the log that MMEngine writes of a run: ``vis_data/scalars.json``."""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple, Union

SCALARS = Path('vis_data', 'scalars.json')
# Nested too deep, they would overflow the stack.
MAX_BRACKETS = 1000


class RunLog(NamedTuple):
    """The log of a run, over all of its sessions.

    Attributes:
        train (list[dict]): Logged training iterations, ``step`` being the
            iteration. Training by iterations has no ``epoch``.
        val (list[dict]): Validations, ``step`` being the epoch (in training
            by iterations: the iteration).
    """

    train: list[dict]
    val: list[dict]


def find_sessions(run: Union[str, Path]) -> list[Path]:
    """Find the log files of a run, one for each time that it was started.

    Args:
        run (str or Path): Work directory of the run, or one log file.

    Returns:
        list[Path]: The log files, oldest first.
    """
    run = Path(run)
    if run.is_file():
        return [run]
    # MMEngine names a session by its start, as in 20240131_235959.
    return sorted(run.glob(str(Path('*', SCALARS))))


def read_run_log(run: Union[str, Path]) -> RunLog:
    """Read the log of a run, and join the sessions of a resumed one.

    A session replaces whatever earlier ones have logged from its first line
    on: those iterations were lost and have been run again.

    Args:
        run (str or Path): Work directory of the run, or one log file.

    Returns:
        RunLog: The log. It is empty if nothing has been logged yet.

    Raises:
        OSError: If a log file can't be read.
        ValueError: If a line of it is broken. The last one may be.
    """
    sessions = [_read_session(path) for path in find_sessions(run)]
    by_epoch = all(_is_by_epoch(session) for session in sessions)
    log = RunLog([], [])
    for train, val in sessions:
        if by_epoch:
            iteration = _first(train, 'step')
            validation = min(_first(train, 'epoch'), _first(val, 'step'))
        else:
            # Training and validations count the same.
            iteration = validation = _first([*train, *val], 'step')
            for line in train:
                line.pop('epoch', None)
        log = RunLog(
            [*_before(iteration, log.train), *train],
            [*_before(validation, log.val), *val],
        )
    return log


def _read_session(path: Path) -> RunLog:
    """Read one log file."""
    if not path.is_file():  # such as a pipe, which would wait for ever
        raise OSError(f'{path} should be a file, but is none')
    with open(path, 'rb') as file:
        # The last line may still be being written, or cut by a kill.
        lines = [
            _read_line(line, path, number)
            for number, line in enumerate(file, 1)
            if line.endswith(b'\n')
        ]
    # Sessions that begin in the same second share a file, and a resume
    # validates again what it can't know to be validated.
    validations = {line['step']: line for line in lines if 'iter' not in line}
    # The hook that evaluates the teacher logs at step 0.
    validations.pop(0, None)
    return RunLog(
        [line for line in lines if 'iter' in line], [*validations.values()]
    )


def _read_line(text: bytes, path: Path, number: int) -> dict:
    """Read one line of a log file."""
    if text.count(b'[') + text.count(b'{') > MAX_BRACKETS:
        raise _make_error(path, number, 'it has too many brackets')
    try:
        line = json.loads(text)
    except ValueError as error:
        raise _make_error(path, number, f'it is no JSON: {error}') from None
    if not isinstance(line, dict):
        raise _make_error(path, number, f'it holds a {type(line).__name__}')
    for key in ('step', *({'iter', 'epoch'} & line.keys())):
        if type(line.get(key)) is not int:
            raise _make_error(path, number, f'{key!r} is {line.get(key)!r}')
    return line


def _make_error(path: Path, number: int, reason: str) -> ValueError:
    return ValueError(
        f'{path}, line {number}: it should be what MMEngine logs, such as '
        f'{{"accuracy/top1": 70.0, "step": 1}}, but {reason}. The log is '
        'broken, or the file is another one.'
    )


def _is_by_epoch(session: RunLog) -> bool:
    """Whether a session counts epochs, as far as it tells.

    To MMEngine, training by iterations is a single epoch, in which the
    validations, if told to, count the iterations.
    """
    if not session.train:
        return True
    epoch = session.train[-1].get('epoch', 0)
    return epoch > 0 and all(line['step'] <= epoch for line in session.val)


def _first(lines: list[dict], unit: str) -> float:
    """The least number that lines have, infinity if there are none."""
    return min((line[unit] for line in lines), default=float('inf'))


def _before(start: float, lines: list[dict]) -> list[dict]:
    """Keep the lines that are earlier than the start of a session."""
    return [line for line in lines if line['step'] < start]


def check_number(line: dict, key: str) -> None:
    """Check that a line of a log has a number.

    Args:
        line (dict): The line.
        key (str): Its name.

    Raises:
        ValueError: If it is something else.
    """
    value = line[key]
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(
            f'{key!r} should be a number in the log, but is {value!r} at '
            f'step {line["step"]}'
        )


def training_seconds(work_dir: Union[str, Path]) -> float:
    """Sum up how long a run has trained and validated.

    Args:
        work_dir (str or Path): Work directory of the run.

    Returns:
        float: Seconds from the start of each session to its last log line,
        summed over the sessions.
    """
    seconds = 0.0
    for path in find_sessions(work_dir):
        start = time.mktime(
            time.strptime(path.parents[1].name, '%Y%m%d_%H%M%S')
        )
        seconds += os.path.getmtime(path) - start
    return seconds
