"""Compare methods by the results of their runs."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Optional

from mmdskd.utils.text import format_columns

from .paired_runs import (
    Runs,
    common_seeds,
    epochs_to_reach,
    group_runs,
    mean_curve,
    top1,
)
from .progress import format_time
from .statistics import format_mean_std, paired_difference

HEADER = ('method', 'top-1 (%)', 'parameters', 'time per run', 'seeds')
TITLES = dict(dskd='DSKD', kd='KD', student='the plain student')
# What the sentence is about: the first pair that has seeds in common
MAIN_PAIRS = (('dskd', 'kd'), ('dskd', 'student'), ('kd', 'student'))

Results = Mapping[str, Runs]


def compare(results: Sequence[dict]) -> str:
    """Write the table of methods, their paired differences, and what follows.

    Args:
        results (Sequence[dict]): The results of all runs, see
            :attr:`mmdskd.experiments.training_run.TrainingRun.result`.

    Returns:
        str: The table, with standard deviations and differences (with their
        95 % confidence interval) if there are several seeds, and sentences.
    """
    by_method = group_runs(results)
    rows = [HEADER]
    for method, by_seed in by_method.items():
        runs = list(by_seed.values())
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
    parts = [format_columns(rows, '<>>>>')]
    differences = compare_pairs(by_method)
    if differences:
        title = (
            'Paired differences in top-1 (percentage points; with the '
            '95 % confidence interval of the mean):'
        )
        parts.append('\n'.join([title, *differences]))
    sentences = conclude(by_method)
    if sentences:
        parts.append('\n'.join(sentences))
    return '\n\n'.join(parts)


def compare_pairs(by_method: Results) -> list[str]:
    """Write how methods differ.

    Args:
        by_method (Mapping[str, Runs]): The results of each method.

    Returns:
        list[str]: A line for each pair that has seeds in common: KD and the
        student, each other method and KD, and each but DSKD and DSKD.
    """
    others = [
        method
        for method in by_method
        if method not in ('teacher', 'student', 'kd')
    ]
    pairs = [('kd', 'student'), *((method, 'kd') for method in others)]
    pairs += [(method, 'dskd') for method in others if method != 'dskd']
    lines = []
    for first, second in pairs:
        mine, theirs = pair_top1(by_method, first, second)
        if not mine:
            continue
        mean, low, high = paired_difference(mine, theirs)
        interval = (
            f'  [{low:+.2f}, {high:+.2f}], {len(mine)} seeds'
            if len(mine) > 1
            else ', 1 seed'
        )
        lines.append(f'  {first} - {second}: {mean:+.2f}{interval}')
    return lines


def conclude(by_method: Results) -> list[str]:
    """Say in words what the results show.

    Args:
        by_method (Mapping[str, Runs]): The results of each method.

    Returns:
        list[str]: The sentences, none if no methods can be compared.
    """
    for first, second in MAIN_PAIRS:
        mine, theirs = pair_top1(by_method, first, second)
        if mine:
            sentences = [describe_difference(first, second, mine, theirs)]
            epochs = describe_epochs(by_method, first, second)
            return [*sentences, epochs] if epochs else sentences
    return []


def pair_top1(
    by_method: Results, first: str, second: str
) -> tuple[list[float], list[float]]:
    """Find the accuracies of two methods in the seeds that both have.

    Args:
        by_method (Mapping[str, Runs]): The results of each method.
        first (str): A method.
        second (str): Another one.

    Returns:
        tuple: The accuracies of both in percent, by seed.
    """
    mine, theirs = by_method.get(first, {}), by_method.get(second, {})
    seeds = common_seeds(mine, theirs)
    return top1(mine, seeds), top1(theirs, seeds)


def describe_difference(
    first: str, second: str, mine: Sequence[float], theirs: Sequence[float]
) -> str:
    """Say in words whether a method is better than another one.

    Args:
        first (str): The method.
        second (str): The other one.
        mine (Sequence[float]): Accuracies of the first one in n seeds, n > 0.
        theirs (Sequence[float]): Those of the second one.

    Returns:
        str: The sentence.
    """
    seeds = len(mine)
    first, second = TITLES[first], TITLES[second]
    if seeds == 1:
        return (
            'One seed says little: run more, such as with "make demo '
            'SEEDS=8" or "--seeds 8".'
        )
    mean, low, high = paired_difference(mine, theirs)
    interval = f'95 % interval {low:+.2f} to {high:+.2f}'
    better = sum(a > b for a, b in zip(mine, theirs))
    worse = sum(a < b for a, b in zip(mine, theirs))
    if low > 0:
        return (
            f'{first} is better than {second} by {mean:.2f} points on average '
            f'({interval}, better in {better} of {seeds} seeds).'
        )
    if high < 0:
        return (
            f'{first} is worse than {second} by {-mean:.2f} points on average '
            f'({interval}, worse in {worse} of {seeds} seeds).'
        )
    return (
        f"These seeds don't show a difference between {first} and {second}: "
        f'{mean:+.2f} points on average ({interval}, better in {better} of '
        f'{seeds} seeds).'
    )


def describe_epochs(
    by_method: Results, first: str, second: str
) -> Optional[str]:
    """Say after how many epochs a method is as good as another one at its
    end.

    Args:
        by_method (Mapping[str, Runs]): The results of each method.
        first (str): The method.
        second (str): The other one.

    Returns:
        str: The sentence, about the means over the seeds that both have.
        None for results that have no accuracies by epoch.
    """
    mine, theirs = by_method[first], by_method[second]
    seeds = common_seeds(mine, theirs)
    epochs = list(mean_curve(mine, seeds))
    if not epochs:
        return None
    target = fmean(top1(theirs, seeds))
    reached = epochs_to_reach(mine, theirs)
    first, second = TITLES[first], TITLES[second]
    if reached is None:
        return (
            f'In {epochs[-1]} epochs, {first} does not reach the final '
            f'accuracy of {second}, {target:.2f} %.'
        )
    return (
        f'{first} reaches the final accuracy of {second}, {target:.2f} %, '
        f'after {reached} of {epochs[-1]} epochs.'
    )
