"""Read what finished runs have left in their work directories."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmdskd.export import multi_exit, student_weights
from mmdskd.utils.config import find_part
from mmdskd.utils.literal_config import read_dumped_config

from .recipe import read_recipe
from .run_log import SCALARS, check_number, find_sessions, read_run_log

# What we write beside the config of a run
EXPORTED = (student_weights.CONFIG_NAME, multi_exit.CONFIG_NAME)


class FinishedRun(NamedTuple):
    """A finished run.

    Attributes:
        path (Path): Its work directory.
        config (str): Name of its config.
        recipe (dict): The settings that its result depends on, by dotted
            key.
        seed (int): Its random seed.
        started (str): When it was started, or resumed for the last time, in
            MMEngine's format, such as "20240131_235959".
        last (float): Accuracy after the last epoch, in percent.
        best (float): Highest accuracy of all epochs, in percent.
        best_epoch (int): The first epoch that has it, from 1 on. In
            training by iterations, the iteration.
    """

    path: Path
    config: str
    recipe: dict[str, Any]
    seed: int
    started: str
    last: float
    best: float
    best_epoch: int


def find_runs(folders: Iterable[str]) -> list[Path]:
    """Find the work directories of all runs, at any depth.

    Args:
        folders (Iterable[str]): Where to look. A run may itself be a folder.

    Returns:
        list[Path]: The work directories, each once.

    Raises:
        FileNotFoundError: If there is no such folder, or no run in it.
    """
    runs = {}
    for folder in folders:
        if not Path(folder).is_dir():
            raise FileNotFoundError(
                'FOLDER should be a folder with runs of tools/train.py, such '
                f'as work_dirs, but there is no folder {folder!r}.'
            )
        logs = Path(folder).rglob(str(Path('*', SCALARS)))
        found = [path.parents[2] for path in logs]
        if not found:
            raise FileNotFoundError(
                'FOLDER should hold runs of tools/train.py, as RUN/<time of '
                f'start>/{SCALARS}, at any depth, but there is none in '
                f'{folder!r}.'
            )
        runs.update({run.resolve(): run for run in sorted(found)})
    return list(runs.values())


def read_run(path: Path, metric: str) -> FinishedRun:
    """Read a finished run.

    Args:
        path (Path): Its work directory.
        metric (str): Name of the accuracy in the log.

    Returns:
        FinishedRun: The run.

    Raises:
        ValueError: If it is not finished, or if what it has left does not
            tell all that is needed.
    """
    sessions = find_sessions(path)
    configs = [
        read_dumped_config(session.with_name('config.py'))
        for session in sessions
    ]
    cfg = configs[-1]
    end, unit = find_end(cfg)
    try:
        val = read_run_log(path).val
        for line in val:
            check_number({metric: 0.0, **line}, metric)
    except ValueError as error:
        raise ValueError(f'its log cannot be read: {error}') from error
    values = {line['step']: line[metric] for line in val if metric in line}
    if val and not values:
        raise ValueError(
            f'its validations have no {metric!r}, but '
            f'{sorted(set().union(*val) - {"step"})}'
        )
    validated = max(values, default=0)
    if validated != end:
        raise ValueError(
            f'not finished: validated up to {unit} {validated} of {end}'
        )
    best_epoch = max(values, key=lambda epoch: (values[epoch], -epoch))
    name = find_config_name(path)
    return FinishedRun(
        path,
        name,
        read_recipe(cfg, name),
        find_seed(configs),
        sessions[-1].parents[1].name,
        values[end],
        values[best_epoch],
        best_epoch,
    )


def find_end(cfg: Config) -> tuple[int, str]:
    """Find out when a training ends.

    Args:
        cfg (Config): Config of the run.

    Returns:
        tuple[int, str]: Number of epochs and "epoch", or of iterations and
        "iteration".

    Raises:
        ValueError: If the config doesn't tell, or if the log can't tell when
            it was validated.
    """
    train_cfg = find_part(cfg, 'train_cfg')
    if train_cfg.get('max_epochs') is not None:
        return train_cfg['max_epochs'], 'epoch'
    if train_cfg.get('max_iters') is None:
        raise ValueError(
            'its config has neither train_cfg.max_epochs nor '
            'train_cfg.max_iters'
        )
    logger = find_part(find_part(cfg, 'default_hooks'), 'logger')
    if logger.get('log_metric_by_epoch', True):
        raise ValueError(
            'its validations are logged without their iteration: training '
            'by iterations should set '
            'default_hooks.logger.log_metric_by_epoch=False'
        )
    return train_cfg['max_iters'], 'iteration'


def find_config_name(path: Path) -> str:
    """Find the name of the config of a run.

    Args:
        path (Path): Its work directory, in which MMEngine leaves the config
            under its own name.

    Returns:
        str: The name.

    Raises:
        ValueError: If there is no such file, or more than one.
    """
    names = sorted(
        file.stem for file in path.glob('*.py') if file.name not in EXPORTED
    )
    if len(names) != 1:
        raise ValueError(
            'it should hold one config, whose file name tells '
            f'what was trained, but holds {names}'
        )
    return names[0]


def find_seed(configs: list[Config]) -> int:
    """Find the seed of a run.

    Args:
        configs (list[Config]): Its config, for each time that it was
            started. A resumed run goes on with the seed of its checkpoint,
            whatever its config says.

    Returns:
        int: The seed.

    Raises:
        ValueError: If it was drawn at random, or is no number.
    """
    starts = [cfg for cfg in configs[1:] if not cfg.get('resume')]
    cfg = [configs[0], *starts][-1]
    seed = find_part(cfg, 'randomness').get('seed')
    if not isinstance(seed, int):
        raise ValueError('its config has no randomness.seed')
    return seed


def read_runs(
    paths: list[Path], metric: str
) -> tuple[list[FinishedRun], dict[Path, str]]:
    """Read the runs that are finished.

    Args:
        paths (list[Path]): Work directories.
        metric (str): Name of the accuracy in the log.

    Returns:
        tuple: The runs, and why others are left out, by work directory.
    """
    runs, left_out = [], {}
    for path in paths:
        try:
            runs.append(read_run(path, metric))
        except (OSError, ValueError) as error:
            left_out[path] = str(error)
    return runs, left_out
