"""Compare methods by the results of their runs."""

from mmdskd.utils.text import format_columns

from .progress import format_time
from .statistics import format_mean_std, paired_difference

HEADER = ('method', 'top-1 (%)', 'parameters', 'time per run', 'seeds')


def compare(results: list[dict]) -> str:
    """Write the table of methods, and their paired differences.

    Args:
        results (list[dict]): The results of all runs, see
            :attr:`mmdskd.experiments.training_run.TrainingRun.result`.

    Returns:
        str: The table, with standard deviations and differences (with their
        95 % confidence interval) if there are several seeds.
    """
    by_method: dict[str, list[dict]] = {}
    for result in results:
        by_method.setdefault(result['method'], []).append(result)
    rows = [HEADER]
    for method, runs in by_method.items():
        seconds = sum(run['seconds'] for run in runs) / len(runs)
        rows.append(
            (
                method,
                format_mean_std([run['accuracy_top1'] for run in runs]),
                f'{runs[0]["params"]:,}',
                format_time(seconds),
                f'{len(runs)}',
            )
        )
    return '\n'.join(
        [
            format_columns(rows, '<>>>>'),
            '',
            'Paired differences in top-1 (percentage points; with the '
            '95 % confidence interval of the mean):',
            *compare_pairs(by_method),
        ]
    )


def compare_pairs(by_method: dict[str, list[dict]]) -> list[str]:
    """Write how KD differs from the student, and other methods from KD.

    Args:
        by_method (dict[str, list[dict]]): The results of each method.

    Returns:
        list[str]: A line for each pair that has seeds in common.
    """
    top1 = {
        method: {run['seed']: run['accuracy_top1'] for run in runs}
        for method, runs in by_method.items()
    }
    others = [
        method for method in top1 if method not in ('teacher', 'student', 'kd')
    ]
    lines = []
    for first, second in [('kd', 'student'), *((m, 'kd') for m in others)]:
        seeds = sorted(top1.get(first, {}).keys() & top1.get(second, {}))
        if not seeds:
            continue
        mean, low, high = paired_difference(
            [top1[first][seed] for seed in seeds],
            [top1[second][seed] for seed in seeds],
        )
        interval = (
            f'  [{low:+.2f}, {high:+.2f}], {len(seeds)} seeds'
            if len(seeds) > 1
            else ', 1 seed'
        )
        lines.append(f'  {first} - {second}: {mean:+.2f}{interval}')
    return lines
