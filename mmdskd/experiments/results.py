import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdskd.utils.files import write_json

from .finished_runs import FinishedRun, read_config, read_recipe
from .statistics import format_mean_std, sample_std

ROOT = Path(__file__).resolve().parents[2]


# Of two configs of the same name, the latter is the pure-Python one.
CONFIGS = (ROOT / 'configs', ROOT / 'mmdskd/configs')


# kd_resnet56_resnet20_1xb64_cifar100, or resnet20_1xb64_cifar100 if plain
NAME = re.compile(
    r'((?P<method>[^_]+)_(?P<teacher>[^_]+)_)?'
    r'(?P<student>[^_].*)_\d+xb\d+_(?P<data>[^_]+)'
)


SHOWN_SETTINGS = 5


HEADER = ('data', 'method', 'teacher', 'student', 'seeds', 'last', 'best', '')


ABOUT = (
    'mean +- standard deviation over seeds; "last" is after the last '
    'epoch; "best" is of the epoch that is best on the test set itself, '
    'which is optimistic'
)


class Result(NamedTuple):
    """Runs of a config that differ by nothing but the seed.

    Attributes:
        config (str): Name of the config.
        settings (list[str]): Settings by which they differ from the
            config, as "KEY=VALUE".
        runs (list[FinishedRun]): The runs, by seed.
    """

    config: str
    settings: list[str]
    runs: list[FinishedRun]

    @property
    def last(self) -> list[float]:
        return [run.last for run in self.runs]

    @property
    def best(self) -> list[float]:
        return [run.best for run in self.runs]

    @property
    def labels(self) -> dict[str, str]:
        """dict[str, str]: Data, method, teacher and student."""
        match = NAME.fullmatch(self.config)
        if match is None:
            return dict(data='-', method=self.config, teacher='-', student='-')
        return dict(
            data=match['data'],
            method=match['method'] or 'vanilla',
            teacher=match['teacher'] or '-',
            student=match['student'],
        )


def make_results(
    runs: list[FinishedRun],
) -> tuple[list[Result], dict[Path, str]]:
    """Take together what differs by nothing but the seed.

    Settings are compared to the config of the same name that the project
    ships. If there is none, it is taken to be what all runs of this name have
    in common.

    Args:
        runs (list[FinishedRun]): The runs.

    Returns:
        tuple: The results by config, and why runs are left out of them, by
        work directory.
    """
    files = {
        path.stem: path
        for folder in CONFIGS
        for path in folder.rglob('*.py')
        if '_base_' not in path.parts
    }
    by_config = defaultdict(list)
    for run in runs:
        by_config[run.config].append(run)
    results, left_out = [], {}
    for config, members in sorted(by_config.items()):
        groups = group_by_recipe(members)
        if config in files:
            reference = read_recipe(read_config(files[config]), config)
        else:
            reference = common_settings([group[0].recipe for group in groups])
        for group in groups:
            settings = differing_settings(group[0].recipe, reference)
            kept, repeats = drop_repeats(group)
            results.append(Result(config, settings, kept))
            left_out.update(repeats)
    return results, left_out


def group_by_recipe(runs: list[FinishedRun]) -> list[list[FinishedRun]]:
    """Part the runs of a config by their settings."""
    groups: list[list[FinishedRun]] = []
    for run in runs:
        for group in groups:
            if group[0].recipe == run.recipe:
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def drop_repeats(
    runs: list[FinishedRun],
) -> tuple[list[FinishedRun], dict[Path, str]]:
    """Keep the newest run of each seed, so that each seed counts once.

    Args:
        runs (list[FinishedRun]): Runs of the same config and settings.

    Returns:
        tuple: The runs by seed, and why others are left out, by work
        directory.
    """
    newest: dict[int, FinishedRun] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.started)):
        newest[run.seed] = run
    left_out = {
        run.path: f'same config, settings and seed ({run.seed}) as '
        f'{newest[run.seed].path}, which was started later'
        for run in runs
        if run is not newest[run.seed]
    }
    return list(newest.values()), left_out


def common_settings(recipes: list[dict[str, Any]]) -> dict[str, Any]:
    """Find the settings that are the same in all recipes."""
    return {
        key: value
        for key, value in recipes[0].items()
        if all(recipe.get(key) == value for recipe in recipes)
    }


def differing_settings(
    recipe: dict[str, Any], reference: dict[str, Any]
) -> list[str]:
    """Find the settings of a recipe that are not those of a reference.

    Args:
        recipe (dict): The settings.
        reference (dict): What they should be.

    Returns:
        list[str]: Those that differ, as "KEY=VALUE", with None for what the
        recipe lacks.
    """
    return [
        f'{key}={recipe.get(key)}'
        for key in sorted({*recipe, *reference})
        if recipe.get(key) != reference.get(key)
    ]


def format_settings(settings: list[str]) -> str:
    """Write settings in one line, and not all if there are many."""
    more = len(settings) - SHOWN_SETTINGS
    shown = settings[:SHOWN_SETTINGS] + ([f'{more} more'] if more > 0 else [])
    return ', '.join(shown)


def format_table(results: list[Result], metric: str) -> str:
    """Write the table for the terminal.

    Args:
        results (list[Result]): The results.
        metric (str): Name of the accuracy in the log.

    Returns:
        str: The table, with what is to be known about it.
    """
    rows = [[*HEADER]]
    notes = []
    for result in results:
        number = ''
        if result.settings:
            number = f'[{len(notes) + 1}]'
            notes.append(
                f'{number} {result.config} with '
                f'{format_settings(result.settings)}'
            )
        rows.append(
            [
                *result.labels.values(),
                f'{len(result.runs)}',
                format_mean_std(result.last),
                format_mean_std(result.best),
                number,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return '\n'.join([*lines, '', f'{metric} (%): {ABOUT}', *notes])


def write_results(
    path: str, metric: str, results: list[Result], left_out: dict[Path, str]
) -> None:
    """Write all figures as JSON.

    Args:
        path (str): The file.
        metric (str): Name of the accuracy in the log.
        results (list[Result]): The results.
        left_out (dict[Path, str]): Why runs are left out, by work directory.

    Raises:
        OSError: If the file can't be written.
    """

    def statistics(values: list[float]) -> dict:
        std = sample_std(values) if len(values) > 1 else None
        return dict(mean=float(np.mean(values)), std=std)

    write_json(
        path,
        dict(
            metric=metric,
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
                for result in results
            ],
            left_out=[
                dict(path=str(run), reason=reason)
                for run, reason in left_out.items()
            ],
        ),
    )
