import math

import pytest

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


# Quantiles of t with 2 degrees of freedom, from a table
@pytest.mark.parametrize(
    'confidence, quantile', [(0.95, 4.302653), (0.9, 2.919986)]
)
def test_paired_difference_by_hand(confidence, quantile):
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3)
    difference = paired_difference([11, 22, 33], [10, 20, 30], confidence)
    half = quantile / math.sqrt(3)
    assert difference == pytest.approx((2, 2 - half, 2 + half), abs=1e-6)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('shift', [10.0, 0.0])
def test_equal_differences(shift):
    first = [80.0, 81.0, 82.0]
    second = [value - shift for value in first]
    assert paired_difference(first, second) == (shift, shift, shift)


def test_one_pair_has_no_interval():
    mean, low, high = paired_difference([3], [1])
    assert mean == 2
    assert math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize('first, second', [([1, 2], [1]), ([], [])])
def test_paired_difference_of_no_pairs(first, second):
    with pytest.raises(ValueError, match=f'{len(first)} and {len(second)}'):
        paired_difference(first, second)
