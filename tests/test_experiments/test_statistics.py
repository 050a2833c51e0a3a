import math

import numpy as np
import pytest
from scipy import stats

from mmdskd.experiments.statistics import (
    format_mean_std,
    paired_difference,
    sample_std,
)


def test_sample_std():
    assert sample_std([1, 2, 3, 4]) == pytest.approx(math.sqrt(5 / 3))
    assert math.isnan(sample_std([1]))


def test_format_mean_std():
    assert format_mean_std([70, 72, 74]) == '72.00 +- 2.00'
    assert format_mean_std([95.754]) == '95.75'


def test_paired_difference_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), and the 0.975
    # quantile of t with 2 degrees of freedom is 4.302653.
    difference = paired_difference([11, 22, 33], [10, 20, 30])
    half = 4.302653 / math.sqrt(3)
    assert difference == pytest.approx((2, 2 - half, 2 + half), abs=1e-6)


def test_paired_difference_is_scipys():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 7))
    interval = stats.ttest_rel(first, second).confidence_interval(0.9)
    difference = paired_difference(first, second, confidence=0.9)
    assert difference[1:] == pytest.approx((interval.low, interval.high))


def test_one_pair_has_no_interval():
    mean, low, high = paired_difference([3], [1])
    assert mean == 2
    assert math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize('first, second', [([1, 2], [1]), ([], [])])
def test_paired_difference_of_no_pairs(first, second):
    with pytest.raises(ValueError, match=f'{len(first)} and {len(second)}'):
        paired_difference(first, second)
