import math

import pytest
import torch
from mmpretrain.structures import DataSample

from mmdskd.engine.checks.chance_level import GuessRate, is_chance


@pytest.mark.parametrize(
    'num_right, num_images, rate, expected',
    [
        (8, 8, 1 / 2, False),  # a perfect teacher, on few images
        (1, 1, 1 / 2, False),
        (5, 5, 1.0, False),  # all images of one class
        (9, 10, 1 / 2, False),  # a good one
        (4, 8, 1 / 2, True),
        (6, 8, 1 / 2, True),
        (0, 8, 1 / 2, True),
        (0, 8, 0.0, True),
        (5, 50, 1 / 10, True),
        (40, 50, 1 / 10, False),
        (90, 899, 1 / 10, True),
        (118, 900, 1 / 10, True),  # three standard deviations: 117
        (119, 900, 1 / 10, False),
        (100, 10_000, 1 / 100, True),
        (200, 10_000, 1 / 100, False),
        (950, 1000, 0.95, True),  # always the most frequent class
        (995, 1000, 0.95, False),
    ],
)
def test_is_chance(num_right, num_images, rate, expected):
    assert is_chance(num_right, num_images, rate) is expected


def test_odds_of_few_images():
    """Computed by hand: two images of two classes, one right. By chance 1/2;
    the mean of 2 x (1 - x) over x in [1/2, 1] is 1/3: less than 3 times."""
    assert is_chance(1, 2, 1 / 2)
    # Three of four: 1/4 by chance, and a mean of 4 x^3 (1 - x) over the same,
    # 2 * (1 - 1/16 - (4 / 5) * (1 - 1/32)) = 0.325.
    assert is_chance(3, 4, 1 / 2)
    # 9 of 10: 10 / 1024 by chance, and a mean of 10 x^9 (1 - x).
    mean = 20 * (1 / 10 - 1 / 11 - 2**-10 / 10 + 2**-11 / 11)
    assert mean / (10 / 1024) > 3
    assert not is_chance(9, 10, 1 / 2)


def test_random_teachers_hardly_ever_pass():
    """The probability of a pass, summed exactly."""
    for num_images, num_classes in ((20, 2), (50, 10), (900, 10)):
        rate = 1 / num_classes
        passes = sum(
            math.comb(num_images, k) * rate**k * (1 - rate) ** (num_images - k)
            for k in range(num_images + 1)
            if not is_chance(k, num_images, rate)
        )
        assert passes < 0.025


def sample(label, predicted=None, score=None):
    found = DataSample().set_gt_label(label)
    if predicted is not None:
        found.set_pred_label(predicted)
    if score is not None:
        found.set_pred_score(torch.tensor(score))
    return found


def test_guess_rate():
    guesses = GuessRate(2)
    guesses.add([sample(0, predicted=0), sample(0, predicted=0)])
    guesses.add([sample(1, score=[0.9, 0.1]), sample(0, score=[0.1, 0.9])])
    # Predicted: 3 and 1 of 4. Labels: the same.
    assert guesses.compute() == pytest.approx(0.75**2 + 0.25**2)


def test_guess_rate_without_predictions_is_that_of_balanced_classes():
    guesses = GuessRate(4)
    guesses.add([sample(0), DataSample()])
    assert guesses.compute() == 0.25
