"""The curves that runs of a method have logged."""

import re
from collections import defaultdict
from math import ceil
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np

from mmdskd.utils.config import find_part
from mmdskd.utils.literal_config import read_dumped_config
from mmdskd.utils.text import shorten

from .run_log import RunLog, check_number, find_sessions, read_run_log

# "dskd.feat_0" is a loss of branch 0, "dskd.weight_feat_0" is its weight.
SERIES = re.compile(
    r'(?P<loss>.+)\.(?P<weight>weight_)?'
    r'(?P<term>logit|feat|label)_(?P<branch>\d+)'
)
TERMS = dict(
    logit='Logit loss of each branch',
    feat='Feature loss of each branch',
    label='Label loss of each branch',
)
# The branch of a loss with last_layer=True that has no head.
LAST_LAYER = 'last layer'


class Curve(NamedTuple):
    """What several runs have logged under one name.

    Attributes:
        x (ndarray): Epochs (or iterations, in training by iterations), (n, ).
        mean (ndarray): Mean of the runs, (n, ).
        low (ndarray): Lowest of the runs, (n, ).
        high (ndarray): Highest of the runs, (n, ).
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Branch(NamedTuple):
    """The curves of one branch, in one term of one DSKDLoss."""

    losses: Curve
    weights: Curve


def iterations_per_epoch(log: RunLog) -> int:
    """Find out how many iterations an epoch has.

    Args:
        log (RunLog): Log of a run.

    Returns:
        int: The number, or 1 in training by iterations. It is too small if
        the log ends before the end of the first epoch.
    """
    # Iteration i of epoch e is the first to last of n: n(e-1) < i <= ne.
    return max(
        (
            ceil(line['iter'] / line['epoch'])
            for line in log.train
            if line.get('epoch')
        ),
        default=1,
    )


def join_curves(logs: list[RunLog], part: str, key: str) -> Curve:
    """Take together what several runs have logged under one name.

    Args:
        logs (list[RunLog]): The runs.
        part (str): "train" or "val".
        key (str): The name.

    Returns:
        Curve: The curve. Where not all runs have logged, it is about those
        that have.

    Raises:
        ValueError: If one of them has logged something else than a number.
    """
    points = defaultdict(list)
    for log in logs:
        scale = iterations_per_epoch(log) if part == 'train' else 1
        for line in getattr(log, part):
            if key in line:
                check_number(line, key)
                points[line['step'] / scale].append(line[key])
    x = sorted(points)
    return Curve(
        *(
            np.array(values)
            for values in (
                x,
                [np.mean(points[i]) for i in x],
                [np.min(points[i]) for i in x],
                [np.max(points[i]) for i in x],
            )
        )
    )


def find_branches(
    logs: list[RunLog],
) -> dict[str, dict[str, dict[int, Branch]]]:
    """Find the branches that runs have logged.

    Args:
        logs (list[RunLog]): Runs of one method.

    Returns:
        dict: The branches, by loss ("dskd"), term ("logit", "feat" or
        "label"), and number.
    """
    keys = {key for log in logs for line in log.train for key in line}
    matches = [match for match in map(SERIES.fullmatch, sorted(keys)) if match]
    branches: dict[str, dict[str, dict[int, Branch]]] = {}
    for term in TERMS:
        for match in matches:
            if match['term'] != term or match['weight']:
                continue
            key, loss, number = match[0], match['loss'], int(match['branch'])
            branches.setdefault(loss, {}).setdefault(term, {})[number] = (
                Branch(
                    join_curves(logs, 'train', key),
                    join_curves(
                        logs, 'train', f'{loss}.weight_{term}_{number}'
                    ),
                )
            )
    return branches


def read_sources(run: Union[str, Path], loss: str, number: int) -> list[str]:
    """Read where the branches attach, from the config of a run.

    Args:
        run (str or Path): Work directory of the run, or its log file.
        loss (str): The loss as in the log, such as "dskd" for "loss_dskd".
        number (int): Number of branches.

    Returns:
        list[str]: The modules, and "last layer" if that is a branch, too; or
        "stage 0", "stage 1"... if there is no config beside the log, or if it
        doesn't tell them.

    Raises:
        OSError: If the config can't be read.
        ValueError: If it holds anything but plain values.
    """
    sources: list[str] = []
    config = find_sessions(run)[-1].with_name('config.py')
    if config.exists():
        cfg = read_dumped_config(config).to_dict()
        distiller = find_part(find_part(cfg, 'model'), 'distiller')
        mappings = find_part(distiller, 'loss_forward_mappings')
        recorders = find_part(distiller, 'student_recorders')
        losses = find_part(distiller, 'distill_losses')
        names = f'loss_{loss}', loss
        branches = find_part(find_part(mappings, *names), 'branches')
        recorder = find_part(recorders, str(branches.get('recorder')))
        sources = list(map(str, recorder.get('sources') or []))
        if find_part(losses, *names).get('last_layer'):
            sources.append(LAST_LAYER)
    if len(sources) != number:
        return [f'stage {i}' for i in range(number)]
    return sources


def check_metric(run: Union[str, Path], log: RunLog, metric: str) -> None:
    """Check that the validations of a run have a metric.

    Args:
        run (str or Path): Work directory of the run, or its log file.
        log (RunLog): Its log.
        metric (str): Name of the metric in the log.

    Raises:
        ValueError: If none of them has it.
    """
    if not any(metric in line for line in log.val):
        found = sorted(set().union(*log.val) - {'step'})
        raise ValueError(
            f'{run} should have validations with {metric!r}, but has '
            + (f'those with {shorten(found, 8)}' if found else 'none')
        )


def read_nonempty(run: Union[str, Path]) -> RunLog:
    """Read the log of a run that has logged something.

    Args:
        run (str or Path): Work directory of the run, or its log file.

    Returns:
        RunLog: The log.

    Raises:
        FileNotFoundError: If there is no log, or nothing in it.
        OSError: If it can't be read.
        ValueError: If a line of it is broken.
    """
    log = read_run_log(run)
    if not log.train and not log.val:
        raise FileNotFoundError(
            'RUN should be the work_dir of a run that has logged something, '
            'with <time of start>/vis_data/scalars.json in it, or such a '
            f'file, but got {str(run)!r}.'
        )
    return log
