"""Statistics of runs that are repeated with several seeds."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class PairedDifference(NamedTuple):
    """Mean of paired differences, and its confidence interval.

    Attributes:
        mean (float): Mean difference, first minus second.
        low (float): Lower end of the interval, NaN for a single pair.
        high (float): Upper end of the interval, NaN for a single pair.
    """

    mean: float
    low: float
    high: float


def sample_std(values: Sequence[float]) -> float:
    """Compute the standard deviation of a sample, with n - 1.

    Args:
        values (Sequence[float]): n values.

    Returns:
        float: The standard deviation, NaN if n is 1.
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else float('nan')


def format_mean_std(values: Sequence[float]) -> str:
    """Write mean and standard deviation of a sample.

    Args:
        values (Sequence[float]): n values, n > 0.

    Returns:
        str: Such as "95.75 +- 1.36", or the value alone if n is 1.
    """
    spread = f' +- {sample_std(values):.2f}' if len(values) > 1 else ''
    return f'{np.mean(values):.2f}{spread}'


def paired_difference(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95
) -> PairedDifference:
    """Compare two methods by runs that differ in nothing but the method.

    The interval is that of :func:`scipy.stats.ttest_rel`: Student's t
    interval of the n differences with n - 1 degrees of freedom.

    Args:
        first (Sequence[float]): n values of the first method.
        second (Sequence[float]): n values of the second one, in the same
            order.
        confidence (float): Coverage of the interval, in (0, 1).
            Defaults to 0.95.

    Returns:
        PairedDifference: Mean and interval of first minus second.

    Raises:
        ValueError: If the values aren't pairs.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(
            'first and second should have as many values, and at least one, '
            f'but got {len(first)} and {len(second)}.'
        )
    mean = float(np.mean(np.subtract(first, second)))
    if len(first) == 1:
        return PairedDifference(mean, float('nan'), float('nan'))
    with warnings.catch_warnings():
        # Equal differences: the interval is a point, and t is infinite.
        warnings.simplefilter('ignore', RuntimeWarning)
        interval = stats.ttest_rel(first, second).confidence_interval(
            confidence
        )
    return PairedDifference(mean, float(interval.low), float(interval.high))
