"""Take finished runs together that differ by nothing but the seed."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmdskd.utils.files import find_project_folder
from mmdskd.utils.text import shorten

from .finished_runs import FinishedRun
from .recipe import read_recipe

# kd_resnet56_resnet20_1xb64_cifar100; finetune_resnet20-l1_1xb64_cifar100, of
# a method without a teacher; or resnet20_1xb64_cifar100, trained plainly
NAME = re.compile(
    r'((?P<alone>(dskd-self|finetune|prune)(-[^_]+)?)_'
    r'|(?P<method>[^_]+)_(?P<teacher>[^_]+)_)?'
    r'(?P<student>[^_].*)_\d+xb\d+_(?P<data>[^_]+)'
)
SHOWN_SETTINGS = 5


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
        """list[float]: Accuracies after the last epoch, in percent."""
        return [run.last for run in self.runs]

    @property
    def best(self) -> list[float]:
        """list[float]: Highest accuracies, in percent."""
        return [run.best for run in self.runs]

    @property
    def labels(self) -> dict[str, str]:
        """dict[str, str]: Data, method, teacher and student."""
        match = NAME.fullmatch(self.config)
        if match is None:
            return dict(data='-', method=self.config, teacher='-', student='-')
        return dict(
            data=match['data'],
            method=match['alone'] or match['method'] or 'vanilla',
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
        for path in find_project_folder('configs').rglob('*.py')
        if '_base_' not in path.parts
    }
    by_config = defaultdict(list)
    for run in runs:
        by_config[run.config].append(run)
    results, left_out = [], {}
    for config, members in sorted(by_config.items()):
        groups = group_by_recipe(members)
        if config in files:
            cfg = Config.fromfile(files[config], import_custom_modules=False)
            reference = read_recipe(cfg, config)
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
    return shorten(settings, SHOWN_SETTINGS)
