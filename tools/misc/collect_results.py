"""Collect finished runs into a table: top-1 over seeds, last and best epoch.

Train each config with several seeds, each in a folder of its own:

    config=configs/kd/cifar100/kd_resnet56_resnet20_1xb64_cifar100.py
    name=$(basename $config .py)
    for seed in 0 1 2; do
        python tools/train.py $config --work-dir work_dirs/$name/seed$seed \\
            --cfg-options randomness.seed=$seed
    done
    python tools/misc/collect_results.py work_dirs --out results.json \\
        --readme configs/kd/README.md

A run is every folder that holds <time of start>/vis_data/scalars.json. The
file name of the config that MMEngine leaves in it tells which config it is
of. The table has mean +- standard deviation (of a sample: n - 1) over seeds
of two figures: "last", after the last epoch, and "best", of the epoch that is
best on the test set itself. The latter is chosen on the data that it is
reported for, and so is optimistic: quote "last".

Left out, and listed by name with the reason: runs that have not reached the
last epoch of their config, or can't be read; and of two runs of the same
config, settings and seed the one that was started earlier. Runs of a config
that was trained with other settings (--cfg-options, --amp, ...) get a row of
their own, and don't go into a README.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.config import Config

import mmdskd  # noqa: F401  (lets configs build on those of MMPretrain)
from mmdskd.utils.files import write_atomically, write_json
from mmdskd.utils.run_log import SCALARS, find_sessions, read_run_log
from mmdskd.utils.statistics import format_mean_std, sample_std
from mmdskd.utils.student import CONFIG_NAME

ROOT = Path(__file__).resolve().parents[2]
# Of two configs of the same name, the latter is the pure-Python one.
CONFIGS = (ROOT / 'configs', ROOT / 'mmdskd/configs')
OURS = 'ours'
# kd_resnet56_resnet20_1xb64_cifar100, or resnet20_1xb64_cifar100 if plain
NAME = re.compile(
    r'((?P<method>[^_]+)_(?P<teacher>[^_]+)_)?'
    r'(?P<student>[^_].*)_\d+xb\d+_(?P<data>[^_]+)'
)
# What a result depends on...
RECIPE = (
    'model.',
    'data_preprocessor.',
    'train_dataloader.',
    'val_dataloader.dataset.',
    'val_evaluator.',
    'val_cfg.',
    'optim_wrapper.',
    'param_scheduler.',
    'train_cfg.',
    'auto_scale_lr.',
    'custom_hooks.',
    'load_from',
    'launcher',
)
# ... but for where files are, how fast they are read, and how names of types
# are looked up.
INCIDENTAL = (
    '_scope_',
    'checkpoint',
    'data_root',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
)
SHOWN_SETTINGS = 5
HEADER = ('data', 'method', 'teacher', 'student', 'seeds', 'last', 'best', '')
ABOUT = (
    'mean +- standard deviation over seeds; "last" is after the last '
    'epoch; "best" is of the epoch that is best on the test set itself, '
    'which is optimistic'
)
# Markdown: the bars between cells, the rule below the head of a table, and
# what may be the name of a config
BAR = re.compile(r'(?<!\\)\|')
RULE = re.compile(r'\|[|:\s-]*-[|:\s-]*')
WORD = re.compile(r'[\w-]+')


class Run(NamedTuple):
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
        best_epoch (int): The first epoch that has it, from 1 on.
    """

    path: Path
    config: str
    recipe: dict[str, Any]
    seed: int
    started: str
    last: float
    best: float
    best_epoch: int


class Result(NamedTuple):
    """Runs of a config that differ by nothing but the seed.

    Attributes:
        config (str): Name of the config.
        settings (list[str]): Settings by which they differ from the
            config, as "KEY=VALUE".
        runs (list[Run]): The runs, by seed.
    """

    config: str
    settings: list[str]
    runs: list[Run]

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


def find_runs(folders: list[str]) -> list[Path]:
    """Find the work directories of all runs, at any depth.

    Args:
        folders (list[str]): Where to look. A run may itself be a folder.

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


def read_run(path: Path, metric: str) -> Run:
    """Read a finished run.

    Args:
        path (Path): Its work directory.
        metric (str): Name of the accuracy in the log.

    Returns:
        Run: The run.

    Raises:
        ValueError: If it is not finished, or if what it has left does not
            tell all that is needed.
    """
    sessions = find_sessions(path)
    configs = [
        read_config(session.with_name('config.py')) for session in sessions
    ]
    cfg = configs[-1]
    max_epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    if max_epochs is None:
        raise ValueError('its config has no train_cfg.max_epochs')
    try:
        val = read_run_log(path).val
    except ValueError as error:
        raise ValueError(f'its log cannot be read: {error}') from error
    values = {line['step']: line[metric] for line in val if metric in line}
    if val and not values:
        raise ValueError(
            f'its validations have no {metric!r}, but '
            f'{sorted(set().union(*val) - {"step"})}'
        )
    last_epoch = max(values, default=0)
    if last_epoch != max_epochs:
        raise ValueError(
            f'not finished: validated up to epoch {last_epoch} of {max_epochs}'
        )
    best_epoch = max(values, key=lambda epoch: (values[epoch], -epoch))
    name = find_config_name(path)
    return Run(
        path,
        name,
        read_recipe(cfg, name),
        find_seed(configs),
        sessions[-1].parents[1].name,
        values[last_epoch],
        values[best_epoch],
        best_epoch,
    )


def read_config(path: Path) -> Config:
    """Read a config without importing what it needs to run.

    Args:
        path (Path): The file.

    Returns:
        Config: The config.

    Raises:
        ValueError: If it can't be read.
    """
    try:
        return Config.fromfile(path, import_custom_modules=False)
    # A damaged file can raise anything.
    except Exception as error:
        raise ValueError(
            f'{path} cannot be read as a config '
            f'({type(error).__name__}: {error})'
        ) from error


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
        file.stem for file in path.glob('*.py') if file.name != CONFIG_NAME
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
        ValueError: If it was drawn at random.
    """
    starts = [cfg for cfg in configs[1:] if not cfg.get('resume')]
    cfg = [configs[0], *starts][-1]
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is None:
        raise ValueError('its config has no randomness.seed')
    return seed


def read_recipe(cfg: Config, name: str) -> dict[str, Any]:
    """Take the settings out of a config that a result depends on.

    Args:
        cfg (Config): The config.
        name (str): Its name. The batch size of one for a single device, as
            "1xb64" in it says, depends on the launcher.

    Returns:
        dict: The settings by dotted key, such as "optim_wrapper.type".
    """
    content = {'launcher': 'none', 'load_from': None, **cfg.to_dict()}
    if '_1xb' not in name:
        content['launcher'] = 'none'  # as many devices as it says
    if content.get('resume'):
        content['load_from'] = None  # its own checkpoint
    recipe = {}
    for key, value in flatten(content):
        last = key.rpartition('.')[2]
        if last == 'type':
            # A pure-Python config names the module, another one the scope.
            value = str(value).rpartition('.')[2]
        if last == 'teacher_ckpt':
            value = value and 'given'  # without it, noise is distilled
        if key.startswith(RECIPE) and last not in INCIDENTAL:
            recipe[key] = value
    return recipe


def flatten(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """List all values in nested dicts and sequences.

    Args:
        node: A dict, a list or tuple, or a value.
        prefix (str): What the keys start with. Defaults to nothing.

    Yields:
        tuple: Dotted key and value.
    """
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        yield prefix, node
        return
    for key, value in node.items():
        yield from flatten(value, f'{prefix}.{key}' if prefix else str(key))


def read_runs(
    paths: list[Path], metric: str
) -> tuple[list[Run], dict[Path, str]]:
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


def make_results(runs: list[Run]) -> tuple[list[Result], dict[Path, str]]:
    """Take together what differs by nothing but the seed.

    Settings are compared to the config of the same name that the project
    ships. If there is none, it is taken to be what all runs of this name have
    in common.

    Args:
        runs (list[Run]): The runs.

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


def group_by_recipe(runs: list[Run]) -> list[list[Run]]:
    """Part the runs of a config by their settings."""
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            if group[0].recipe == run.recipe:
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def drop_repeats(runs: list[Run]) -> tuple[list[Run], dict[Path, str]]:
    """Keep the newest run of each seed, so that each seed counts once.

    Args:
        runs (list[Run]): Runs of the same config and settings.

    Returns:
        tuple: The runs by seed, and why others are left out, by work
        directory.
    """
    newest: dict[int, Run] = {}
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


def format_cell(result: Result) -> str:
    """Write a result for the column "ours" of a README."""
    number = len(result.runs)
    return (
        f'{format_mean_std(result.last)} / '
        f'{format_mean_std(result.best)} '
        f'({number} seed{"s" if number > 1 else ""})'
    )


def fill_readme(text: str, cells: dict[str, str]) -> tuple[str, set[str]]:
    """Fill the column "ours" of the tables in a markdown text.

    A row is about the config whose name or link is in it. Rows of other
    configs stay as they are.

    Args:
        text (str): The text.
        cells (dict[str, str]): What to fill in, by name of the config.

    Returns:
        tuple: The new text, and the configs that have a row in it.

    Raises:
        ValueError: If no table has such a column, or if a row is about
            several configs or has too few cells.
    """
    lines = text.splitlines(keepends=True)
    filled: set[str] = set()
    columns = [find_column(*pair) for pair in zip(lines, [*lines[1:], ''])]
    if not any(columns):
        raise ValueError(
            f'there should be a table with a column "{OURS}" '
            'to fill, but there is none'
        )
    column = None
    for i, line in enumerate(lines):
        if columns[i] is not None or not is_row(line):
            # The head of a table, or its end
            column = columns[i]
        names = cells.keys() & WORD.findall(line)
        if not column or not names:
            continue
        parts = BAR.split(line)
        if len(names) > 1 or len(parts) <= column + 1:
            raise ValueError(
                f'line {i + 1} should be a row about one config, with a cell '
                f'in column {column} ("{OURS}"), but is {line.strip()!r}'
            )
        (name,) = names
        parts[column] = f' {cells[name]} '
        lines[i] = '|'.join(parts)
        filled.add(name)
    return ''.join(lines), filled


def is_row(line: str) -> bool:
    """Tell whether a line may be one of a table."""
    return line.lstrip().startswith('|')


def find_column(line: str, following: str) -> Optional[int]:
    """Find the column "ours", if a line is the head of a table.

    Args:
        line (str): The line.
        following (str): The line below it.

    Returns:
        int: The column, from 1 on; 0 if the table has none. None if this is
        no head.
    """
    if not (is_row(line) and RULE.fullmatch(following.strip())):
        return None
    heads = [part.strip() for part in BAR.split(line)]
    columns = [i for i, head in enumerate(heads) if head.startswith(OURS)]
    return columns[0] if columns else 0


def fill_readmes(readmes: list[str], results: list[Result]) -> str:
    """Fill the column "ours" of READMEs, or none if one can't be filled.

    Args:
        readmes (list[str]): The files.
        results (list[Result]): The results. Those with other settings than
            their config are not filled in.

    Returns:
        str: What was filled in, and what was not.

    Raises:
        OSError: If a file can't be read or written.
        ValueError: If a file has no table to fill.
    """
    cells = {
        result.config: format_cell(result)
        for result in results
        if not result.settings
    }
    texts, messages, all_filled = {}, [], set()
    for readme in readmes:
        path = Path(readme).resolve()
        if not path.is_file():
            raise FileNotFoundError(
                '--readme should be a markdown file, such as '
                f'configs/kd/README.md, but there is no file {readme!r}.'
            )
        try:
            texts[path], filled = fill_readme(
                path.read_bytes().decode(), cells
            )
        except ValueError as error:
            raise ValueError(f'{readme}: {error}') from error
        messages += [f'{readme}: filled {name}' for name in sorted(filled)]
        all_filled |= filled
    for result in results:
        if result.settings:
            messages.append(
                f'Not filled in: {result.config} with '
                f'{format_settings(result.settings)}'
            )
        elif result.config not in all_filled:
            messages.append(
                f'Not filled in: {result.config} has no row in a '
                f'table with a column "{OURS}"'
            )
    for path, text in texts.items():
        write_atomically(path, lambda file: file.write(text.encode()))
    return '\n'.join(messages)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'folders',
        nargs='*',
        default=['work_dirs'],
        metavar='FOLDER',
        help='folder with runs, at any depth (default: work_dirs)',
    )
    parser.add_argument(
        '--metric',
        default='accuracy/top1',
        help='accuracy in the log, the larger the better (default: '
        'accuracy/top1)',
    )
    parser.add_argument(
        '--out', metavar='FILE', help='write all figures to this JSON file'
    )
    parser.add_argument(
        '--readme',
        nargs='+',
        default=[],
        metavar='FILE',
        help=f'fill the column "{OURS}" of the tables in these markdown '
        'files: "last / best (seeds)" in the rows that name or link a config '
        'with finished runs. All else stays as it is',
    )
    return parser.parse_args()


def collect(args: argparse.Namespace) -> None:
    """Collect as the arguments say.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Raises:
        OSError: If there are no runs, or a file can't be read or written.
        ValueError: If no run is finished, or a README can't be filled.
    """
    runs, left_out = read_runs(find_runs(args.folders), args.metric)
    results, repeats = make_results(runs)
    left_out.update(repeats)
    if results:
        print(format_table(results, args.metric))
    if left_out:
        print(f'\nLeft out ({len(left_out)}):')
        for path, reason in left_out.items():
            print(f'  {path}: {reason}')
    if not results:
        raise ValueError(
            f'none of the {len(left_out)} runs in '
            f'{", ".join(args.folders)} can be used'
        )
    if args.out:
        write_results(args.out, args.metric, results, left_out)
        print(f'\nResults: {args.out}')
    if args.readme:
        print(f'\n{fill_readmes(args.readme, results)}')


def main() -> None:
    args = parse_args()
    try:
        collect(args)
    except (OSError, ValueError) as error:
        sys.exit(f'{type(error).__name__}: {error}')


if __name__ == '__main__':
    main()
