"""Collect finished runs into a table and a JSON file."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmdskd.utils.files import write_json
from mmdskd.utils.text import format_columns

from .finished_runs import find_runs, read_runs
from .results import Result, format_settings, make_results
from .statistics import format_mean_std, sample_std

HEADER = ('data', 'method', 'teacher', 'student', 'seeds', 'last', 'best', '')
ABOUT = (
    'mean +- standard deviation over seeds; "last" is after the last '
    'epoch; "best" is of the epoch that is best on the test set itself, '
    'which is optimistic'
)


class Collection(NamedTuple):
    """Finished runs.

    Attributes:
        metric (str): Name of the accuracy in the log.
        results (list[Result]): The results by config, at least one.
        left_out (dict[Path, str]): Why runs are left out, by work directory.
    """

    metric: str
    results: list[Result]
    left_out: dict[Path, str]


def collect(
    folders: Sequence[str], metric: str = 'accuracy/top1'
) -> Collection:
    """Collect the finished runs of folders.

    Args:
        folders (Sequence[str]): Where to look, at any depth. A run may itself
            be a folder.
        metric (str): Name of the accuracy in the log, the larger the better.
            Defaults to "accuracy/top1".

    Returns:
        Collection: The runs.

    Raises:
        FileNotFoundError: If there is no such folder, or no run in it.
        ValueError: If no run is finished.
    """
    runs, left_out = read_runs(find_runs(folders), metric)
    results, repeats = make_results(runs)
    left_out.update(repeats)
    if not results:
        raise ValueError(
            f'none of the {len(left_out)} runs in {", ".join(folders)} can '
            f'be used\n{format_left_out(left_out)}'
        )
    return Collection(metric, results, left_out)


def format_collection(collection: Collection) -> str:
    """Write the table for the terminal.

    Args:
        collection (Collection): Finished runs.

    Returns:
        str: The table, with what is to be known about it.
    """
    rows: list[Sequence[str]] = [HEADER]
    notes: list[str] = []
    for result in collection.results:
        number = ''
        if result.settings:
            number = f'[{len(notes) + 1}]'
            notes.append(
                f'{number} {result.config} with '
                f'{format_settings(result.settings)}'
            )
        rows.append(
            (
                *result.labels.values(),
                f'{len(result.runs)}',
                format_mean_std(result.last),
                format_mean_std(result.best),
                number,
            )
        )
    table = format_columns(rows, '<' * len(HEADER))
    lines = [table, '', f'{collection.metric} (%): {ABOUT}', *notes]
    if collection.left_out:
        lines += ['', format_left_out(collection.left_out)]
    return '\n'.join(lines)


def format_left_out(left_out: dict[Path, str]) -> str:
    """List the runs that are left out, with the reasons."""
    lines = [f'  {path}: {reason}' for path, reason in left_out.items()]
    return '\n'.join([f'Left out ({len(left_out)}):', *lines])


def write_collection(path: str, collection: Collection) -> None:
    """Write all figures as JSON.

    Args:
        path (str): The file.
        collection (Collection): Finished runs.

    Raises:
        OSError: If the file can't be written.
    """

    def statistics(values: list[float]) -> dict:
        std = sample_std(values) if len(values) > 1 else None
        return dict(mean=float(np.mean(values)), std=std)

    write_json(
        path,
        dict(
            metric=collection.metric,
            about=ABOUT,
            results=[
                dict(
                    config=result.config,
                    **result.labels,
                    other_settings=result.settings,
                    last=statistics(result.last),
                    best=statistics(result.best),
                    runs=[
                        dict(
                            path=str(run.path),
                            seed=run.seed,
                            last=run.last,
                            best=run.best,
                            best_epoch=run.best_epoch,
                        )
                        for run in result.runs
                    ],
                )
                for result in collection.results
            ],
            left_out=[
                dict(path=str(run), reason=reason)
                for run, reason in collection.left_out.items()
            ],
        ),
    )
