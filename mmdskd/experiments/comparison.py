from .progress import format_time
from .statistics import format_mean_std, paired_difference


def compare(results: list[dict]) -> str:
    """Write the table of methods, and their paired differences.

    Args:
        results (list[dict]): The results of all runs.

    Returns:
        str: The table, with standard deviations and differences (with their
        95 % confidence interval) if there are several seeds.
    """
    top1: dict[str, dict[int, float]] = {}
    for result in results:
        top1.setdefault(result['method'], {})[result['seed']] = result[
            'accuracy_top1'
        ]
    width = max(map(len, top1)) + 2
    lines = [
        f'{"method":{width}}{"top-1 (%)":>15}{"parameters":>14}'
        f'{"time per run":>14}{"seeds":>7}'
    ]
    for method, by_seed in top1.items():
        runs = [result for result in results if result['method'] == method]
        values = list(by_seed.values())
        mean = format_mean_std(values)
        seconds = sum(result['seconds'] for result in runs) / len(runs)
        lines.append(
            f'{method:{width}}{mean:>15}{runs[0]["params"]:>14,}'
            f'{format_time(seconds):>14}{len(values):>7}'
        )
    pairs = [('kd', 'student')]
    pairs += [
        (method, 'kd')
        for method in top1
        if method not in ('teacher', 'student', 'kd')
    ]
    lines += [
        '',
        'Paired differences in top-1 (percentage points; with the '
        '95 % confidence interval of the mean):',
    ]
    for first, second in pairs:
        seeds = sorted(top1.get(first, {}).keys() & top1.get(second, {}))
        if seeds:
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
    return '\n'.join(lines)
