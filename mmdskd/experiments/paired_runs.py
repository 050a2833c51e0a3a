"""Results of methods, paired within a seed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

import numpy as np

Runs = Mapping[int, dict]  # results of a method, by seed


def group_runs(runs: Iterable[dict]) -> dict[str, dict[int, dict]]:
    """Group results by method and seed.

    Args:
        runs (Iterable[dict]): The results, see
            :attr:`mmdskd.experiments.training_run.TrainingRun.result`.

    Returns:
        dict[str, dict[int, dict]]: The results, in their order.
    """
    methods: dict[str, dict[int, dict]] = {}
    for run in runs:
        methods.setdefault(run['method'], {})[run['seed']] = run
    return methods


def common_seeds(*methods: Runs) -> list[int]:
    """Find the seeds that all methods have, in order."""
    return sorted(set.intersection(*map(set, methods)))


def top1(runs: Runs, seeds: Sequence[int]) -> list[float]:
    """Take the accuracies after the last epoch, by seed, in percent."""
    return [runs[seed]['accuracy_top1'] for seed in seeds]


def mean_curve(runs: Runs, seeds: Sequence[int]) -> dict[int, float]:
    """Average the accuracy over seeds, for each epoch that all have.

    Args:
        runs (Runs): The runs of a method.
        seeds (Sequence[int]): The seeds.

    Returns:
        dict[int, float]: Mean by validated epoch, in percent.
    """
    curves = [runs[seed].get('top1_by_epoch', {}) for seed in seeds]
    epochs = set.intersection(*map(set, curves)) if curves else set()
    return {
        int(epoch): float(np.mean([curve[epoch] for curve in curves]))
        for epoch in sorted(epochs, key=int)
    }


def epochs_to_reach(runs: Runs, target: Runs) -> Optional[int]:
    """Find the epoch from which on a method is as good as another one's end.

    Args:
        runs (Runs): The runs of the method.
        target (Runs): The runs of the other one.

    Returns:
        int: The first validated epoch at which the mean over their common
        seeds is at or above the mean of the other one after its last epoch.
        None if there is none.
    """
    seeds = common_seeds(runs, target)
    if not seeds:
        return None
    goal = np.mean(top1(target, seeds))
    curve = mean_curve(runs, seeds)
    return next((epoch for epoch in curve if curve[epoch] >= goal), None)
