"""Write kept results as tables of a page of benchmarks."""

from collections.abc import Sequence
from pathlib import Path

from mmdskd.utils.text import format_header, format_row

from .kept_results import KeptResults
from .paired_runs import Runs, common_seeds, epochs_to_reach, mean_curve, top1
from .results import Result
from .statistics import format_mean_std, paired_difference

FOLDER = 'results'
NAMES = dict(kd='KD', dskd='DSKD')
SUMMARY = (
    'comparison',
    'teacher, student',
    'data',
    'epochs',
    'seeds',
    'teacher',
    'student',
    'KD',
    'DSKD',
    'DSKD - KD',
)
NONE = '-'


def format_seeds(seeds: Sequence[int]) -> str:
    """Write seeds.

    Args:
        seeds (Sequence[int]): The seeds, in order.

    Returns:
        str: Such as "0 to 9", or "0, 1, 4".
    """
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f'{seeds[0]} to {seeds[-1]}'
    return ', '.join(map(str, seeds))


def format_difference(first: Runs, second: Runs) -> str:
    """Write how a method differs from another one within the same seeds.

    Args:
        first (Runs): The runs of the method.
        second (Runs): The runs of the other one.

    Returns:
        str: Such as "+2.00 [-0.48, +4.48], better in 3 of 3". One seed has no
        interval.
    """
    seeds = common_seeds(first, second)
    if not seeds:
        return NONE
    values = top1(first, seeds), top1(second, seeds)
    mean, low, high = paired_difference(*values)
    if len(seeds) == 1:
        return f'{mean:+.2f} (1 seed)'
    better = sum(a > b for a, b in zip(*values))
    return (
        f'{mean:+.2f} [{low:+.2f}, {high:+.2f}], '
        f'better in {better} of {len(seeds)}'
    )


def shared_options(kept: KeptResults) -> list[str]:
    """Find the settings that all runs of a comparison have."""
    first, *others = [run.get('options', []) for run in kept.runs]
    return [
        option
        for option in first
        if all(option in options for options in others)
    ]


def format_code(items: Sequence[str]) -> str:
    """Write settings for a cell or a sentence."""
    return ', '.join('`{}`'.format(item.replace('|', r'\|')) for item in items)


def _format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table without padding: one cell then changes one line."""
    return '\n'.join([format_header(header), *map(format_row, rows)])


def format_methods(kept: KeptResults) -> str:
    """Write the table of the methods of a comparison.

    Args:
        kept (KeptResults): The comparison.

    Returns:
        str: The table in Markdown.
    """
    methods = kept.by_method
    shared = shared_options(kept)
    minus = [f'minus {NAMES.get(name, name)}' for name in kept.reference]
    header = [
        'method',
        'settings',
        'seeds',
        'top-1 (%)',
        *minus,
        'parameters',
        "epochs to KD's top-1",
    ]
    rows = []
    for method, runs in methods.items():
        seeds = sorted(runs)
        run = runs[seeds[0]]
        epoch = epochs_to_reach(runs, methods.get('kd', {}))
        rows.append(
            [
                f'[{method}](../{run["config"]})',
                format_code(
                    [o for o in run.get('options', []) if o not in shared]
                ),
                format_seeds(seeds),
                format_mean_std(top1(runs, seeds)),
                *(
                    format_difference(runs, methods[name])
                    if method not in ('teacher', name)
                    else ''
                    for name in kept.reference
                ),
                f'{run["params"]:,}',
                '' if method == 'teacher' else f'{epoch or NONE}',
            ]
        )
    if not any(row[1] for row in rows):
        header.pop(1)
        for row in rows:
            row.pop(1)
    return _format_table(header, rows)


def format_comparison(name: str, kept: KeptResults) -> str:
    """Write a comparison: its table, and how it came about.

    Args:
        name (str): Name of its file, without ".json".
        kept (KeptResults): The comparison.

    Returns:
        str: The text in Markdown.
    """

    def values(key: str) -> str:
        found = sorted({str(run[key]) for run in kept.runs if key in run})
        return ' and '.join(found) or 'unknown'

    notes = [
        f'Machine: {kept.machine}',
        f'threads: {values("threads")}',
        f'torch: {values("torch")}',
        f'last run kept: {kept.date}',
    ]
    lines = [f'{"; ".join(notes)}; [every run]({FOLDER}/{name}.json).']
    shared = shared_options(kept)
    if shared:
        lines.append(f'Settings of all methods: {format_code(shared)}.')
    teachers = sorted(kept.by_method.get('teacher', {}))
    students = {run['seed'] for run in kept.runs} - set(teachers)
    if len(teachers) == 1 and students:
        lines.append(f'One teacher, of seed {teachers[0]}, for all seeds.')
    return '\n'.join(
        [
            f'**{kept.title}**',
            '',
            format_methods(kept),
            '',
            *lines,
            '',
            '```bash',
            kept.command,
            '```',
        ]
    )


def format_summary(results: dict[str, KeptResults]) -> str:
    """Write the table of all comparisons that have KD and DSKD.

    Args:
        results (dict[str, KeptResults]): The comparisons by name.

    Returns:
        str: The table in Markdown, empty if there is no such comparison.
    """
    rows = []
    for name, kept in results.items():
        methods = kept.by_method
        if 'kd' not in methods or 'dskd' not in methods:
            continue
        dskd = methods['dskd']
        seeds = sorted(dskd)
        labels = Result(Path(dskd[seeds[0]]['config']).stem, [], []).labels
        epochs = mean_curve(dskd, seeds)
        rows.append(
            [
                f'[{kept.title}]({FOLDER}/{name}.json)',
                f'{labels["teacher"]}, {labels["student"]}',
                labels['data'],
                f'{max(epochs)}' if epochs else NONE,
                format_seeds(seeds),
                *(
                    format_mean_std(top1(methods[method], [*methods[method]]))
                    if method in methods
                    else NONE
                    for method in ('teacher', 'student', 'kd', 'dskd')
                ),
                format_difference(dskd, methods['kd']),
            ]
        )
    return _format_table(SUMMARY, rows) if rows else ''
