"""Read the log that MMEngine writes of a run: ``vis_data/scalars.json``."""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple, Union

SCALARS = Path('vis_data', 'scalars.json')


class RunLog(NamedTuple):
    """The log of a run, over all of its sessions.

    Attributes:
        train (list[dict]): Logged training iterations, ``step`` being the
            iteration.
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

    A session replaces whatever earlier ones have logged from its first
    iteration on: those iterations were lost and have been run again.

    Args:
        run (str or Path): Work directory of the run, or one log file.

    Returns:
        RunLog: The log. It is empty if nothing has been logged yet.
    """
    log = RunLog([], [])
    for path in find_sessions(run):
        with open(path) as file:
            # The last line may still be being written, or cut by a kill.
            lines = [json.loads(line) for line in file if line[-1] == '\n']
        train = [line for line in lines if 'iter' in line]
        # The hook that evaluates the teacher logs at step 0.
        val = [line for line in lines if 'iter' not in line and line['step']]
        if train:
            log = RunLog(
                _before(train[0], log.train, 'step'),
                _before(train[0], log.val, 'epoch'),
            )
        log.train.extend(train)
        log.val.extend(val)
    return log


def _before(first: dict, lines: list[dict], unit: str) -> list[dict]:
    """Keep the lines that are earlier than the start of a session.

    Args:
        first (dict): First training line of the session.
        lines (list[dict]): Training or validation lines.
        unit (str): What the steps of ``lines`` count: the name of that
            number in ``first``. Training by iterations has no "epoch".

    Returns:
        list[dict]: The earlier lines.
    """
    start = first.get(unit, first['step'])
    return [line for line in lines if line['step'] < start]


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
