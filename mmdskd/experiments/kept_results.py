"""Results of a comparison in the small form in which they are committed."""

import datetime
import json
from collections.abc import Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mmdskd.utils.files import write_atomically
from mmdskd.utils.plain_text import parse_json

from .paired_runs import group_runs

# What every run has, and of which type.
TYPES: dict[str, Any] = dict(
    method=str,
    seed=int,
    accuracy_top1=(int, float),
    params=int,
    seconds=(int, float),
    config=str,
)
# What the runs of a method have in common.
RECIPE = ('config', 'options')
LEFT_OUT = 'checkpoint'
SEPARATOR = '; '


class KeptResults(NamedTuple):
    """A comparison of methods over seeds, as committed.

    Attributes:
        title (str): What is compared, in a few words.
        command (str): The command that trains the runs.
        machine (str): Where they were trained.
        date (str): When runs were last added, such as "2026-01-31".
        reference (list[str]): The methods that all others are compared with.
        runs (list[dict]): The results, see
            :attr:`mmdskd.experiments.training_run.TrainingRun.result`,
            without the checkpoints.
    """

    title: str
    command: str
    machine: str
    date: str
    reference: list[str]
    runs: list[dict]

    @property
    def by_method(self) -> dict[str, dict[int, dict]]:
        """dict[str, dict[int, dict]]: The runs by method and seed."""
        return group_runs(self.runs)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path (Path): The file.

    Returns:
        Any: Its content.

    Raises:
        OSError: If the file can't be read.
        ValueError: If it is not JSON.
    """
    if not path.is_file():
        state = 'is a folder' if path.is_dir() else 'is not there'
        raise FileNotFoundError(
            f'{path} should be a JSON file, such as results.json of '
            f'tools/demo.py, but {state}'
        )
    try:
        return parse_json(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} should be JSON, but: {error}') from error


def check_runs(runs: Any, where: Path) -> None:
    """Check that runs can be compared.

    Args:
        runs: The runs of a file.
        where (Path): The file.

    Raises:
        ValueError: If they are no list of results, or if a method has several
            runs of a seed, or runs of several configs or options.
    """
    if not isinstance(runs, list) or not runs:
        raise ValueError(
            f'{where} should hold a list of runs, as tools/demo.py writes it '
            'to results.json, and at least one, but does not.'
        )
    first: dict[str, dict] = {}
    seen = set()
    for run in runs:
        _check_run(run, where)
        key = run['method'], run['seed']
        if key in seen:
            raise ValueError(
                f'{where} should hold one run of a method and seed, but has '
                f'several of {_name(run)}.'
            )
        seen.add(key)
        _check_same_recipe(first.setdefault(run['method'], run), run, where)


def _check_run(run: Any, where: Path) -> None:
    """Check what one run holds."""
    for key, kind in TYPES.items():
        value = run.get(key) if isinstance(run, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(
                f'{where}: a run should be a dict with {", ".join(TYPES)}, '
                f'but {key!r} is {value!r} in {run!r}.'
            )
    if not 0 <= run['accuracy_top1'] <= 100:
        raise ValueError(
            f'{where}: accuracy_top1 should be in percent, from 0 to 100, '
            f'but is {run["accuracy_top1"]} in {_name(run)}.'
        )
    epochs = run.get('top1_by_epoch', {})
    if not all(epoch.isdigit() for epoch in epochs):
        raise ValueError(
            f'{where}: top1_by_epoch should be by epoch, such as {{"1": '
            f'50.0}}, but has {", ".join(epochs)} in {_name(run)}.'
        )


def _check_same_recipe(kept: dict, run: dict, where: Path) -> None:
    """Check that two runs of a method differ by nothing but the seed."""
    for key in RECIPE:
        if kept.get(key) != run.get(key):
            raise ValueError(
                f'{where}: the runs of a method should differ by nothing but '
                f'the seed, but {key} is {run.get(key)!r} in {_name(run)}, '
                f'and {kept.get(key)!r} in {_name(kept)}. Give the method '
                'another name, or keep the runs in another file.'
            )


def _name(run: dict) -> str:
    """Name a run in a message."""
    return f'{run["method"]} with seed {run["seed"]}'


def merge_runs(
    kept: list[dict], new: Sequence[dict], where: Path
) -> list[dict]:
    """Add runs to those that are kept. None is ever replaced.

    Args:
        kept (list[dict]): The runs of a file.
        new (Sequence[dict]): Runs to add. Those of the file may be among
            them.
        where (Path): The file that the new ones are from.

    Returns:
        list[dict]: All runs, by seed and then in order of their methods.

    Raises:
        ValueError: If a new run has another config, other options or, with
            the same seed, another accuracy than one that is kept.
    """
    by_key = {(run['method'], run['seed']): run for run in kept}
    first = {run['method']: run for run in reversed(kept)}
    for run in new:
        _check_same_recipe(first.get(run['method'], run), run, where)
        old = by_key.setdefault((run['method'], run['seed']), run)
        if old['accuracy_top1'] != run['accuracy_top1']:
            raise ValueError(
                f'{where}: {_name(run)} has top-1 {run["accuracy_top1"]}, but '
                f'is kept with {old["accuracy_top1"]}. A kept run is never '
                'replaced: keep the repetition in another file.'
            )
    order = {
        method: i
        for i, method in enumerate(dict.fromkeys(key[0] for key in by_key))
    }
    return sorted(
        by_key.values(), key=lambda run: (run['seed'], order[run['method']])
    )


def read_kept(path: Path) -> KeptResults:
    """Read kept results.

    Args:
        path (Path): The file.

    Returns:
        KeptResults: The results.

    Raises:
        OSError: If the file can't be read.
        ValueError: If it does not hold kept results.
    """
    content = read_json(path)
    fields = set(KeptResults._fields)
    if not isinstance(content, dict) or set(content) != fields:
        raise ValueError(
            f'{path} should hold {", ".join(KeptResults._fields)}, as '
            'tools/misc/keep_results.py writes them, but does not.'
        )
    kept = KeptResults(**content)
    check_runs(kept.runs, path)
    _check_reference(kept, path)
    return kept


def _check_reference(kept: KeptResults, where: Path) -> None:
    """Check that the methods of reference have runs."""
    missing = [name for name in kept.reference if name not in kept.by_method]
    if missing:
        raise ValueError(
            f'{where}: reference should name methods of the runs '
            f'({", ".join(kept.by_method)}), but got {", ".join(missing)}.'
        )


def write_kept(path: Path, kept: KeptResults) -> None:
    """Write kept results, one run per line, so that changes are small.

    Args:
        path (Path): The file.
        kept (KeptResults): The results.

    Raises:
        OSError: If the file can't be written.
        ValueError: If a number is NaN or infinite, which JSON does not have.
    """
    fields = kept._asdict()
    runs = ',\n'.join(
        f'  {json.dumps(run, allow_nan=False)}' for run in fields.pop('runs')
    )
    head = ''.join(
        f' {json.dumps(name)}: {json.dumps(value)},\n'
        for name, value in fields.items()
    )
    text = f'{{\n{head} "runs": [\n{runs}\n ]\n}}\n'
    write_atomically(path, methodcaller('write', text.encode()))


def keep_results(
    results: Path,
    path: Path,
    machine: str,
    title: Optional[str] = None,
    command: Optional[str] = None,
    reference: Optional[list[str]] = None,
) -> str:
    """Add the runs of a comparison to a file of kept results, or make it.

    Args:
        results (Path): ``results.json`` of the comparison.
        path (Path): The file, ``*.json``.
        machine (str): Where the runs were trained.
        title (str, optional): What is compared. None means what the file
            says. Defaults to None.
        command (str, optional): The command that trains the runs. None means
            what the file says. Defaults to None.
        reference (list[str], optional): The methods that all others are
            compared with. None means what the file says, and KD alone for a
            new file. Defaults to None.

    Returns:
        str: What was kept.

    Raises:
        OSError: If a file can't be read or written.
        ValueError: If the runs can't be kept, see :func:`merge_runs`.
    """
    new = read_json(results)
    check_runs(new, results)
    new = [
        {key: value for key, value in run.items() if key != LEFT_OUT}
        for run in new
    ]
    if path.suffix != '.json':
        raise ValueError(f'{path} should be a file *.json.')
    if path.exists():
        old = read_kept(path)
    elif title is None or command is None:
        raise ValueError(
            f'title and command should be given for a new file, {path}.'
        )
    else:
        old = KeptResults(title, command, machine, '', ['kd'], [])
    runs = merge_runs(old.runs, new, results)
    added = len(runs) - len(old.runs)
    kept = old._replace(
        title=title or old.title,
        command=command or old.command,
        reference=reference or old.reference,
        runs=runs,
    )
    _check_reference(kept, results)
    if added:
        machines = dict.fromkeys([*old.machine.split(SEPARATOR), machine])
        kept = kept._replace(
            machine=SEPARATOR.join(machines),
            date=datetime.date.today().isoformat(),
        )
    write_kept(path, kept)
    return f'{path}: {added} runs added, {len(old.runs)} were there'
