"""Tell a teacher that guesses from one that knows something."""

import math
from collections.abc import Iterable
from typing import Any, Optional

import torch
from mmengine.dist import all_reduce
from torch import Tensor

# How many times likelier the result has to be by knowledge than by chance.
MIN_ODDS = 3


def is_chance(num_right: int, num_images: int, rate: float) -> bool:
    """Tell whether right answers are better explained by guessing.

    The probability of exactly so many right answers is compared: by guessing,
    it is binomial; by a teacher that knows something, it is the mean of the
    binomial ones of all accuracies between that of guessing and 1. So it
    holds for few images, too: for 900 images of 10 classes, the limit is
    about three standard deviations above chance, and for 8 images of 2
    classes it is 6 right answers.

    Args:
        num_right (int): Number of right answers k, in [0, N].
        num_images (int): Number of images N, >= 1.
        rate (float): Share that guessing gets right, in [0, 1].

    Returns:
        bool: Whether knowledge explains them less than 3 times as well. A
        teacher that is always right is never at chance level.
    """
    if num_right == num_images:
        return False
    if not 0 < rate < 1:
        return True
    by_chance = math.exp(_log_binomial(num_right, num_images, rate))
    up_to = sum(
        math.exp(_log_binomial(k, num_images + 1, rate))
        for k in range(num_right + 1)
    )
    by_knowledge = min(up_to, 1.0) / (num_images + 1) / (1 - rate)
    return by_knowledge <= MIN_ODDS * by_chance


def _log_binomial(k: int, n: int, rate: float) -> float:
    """Log of the probability of k successes in n trials."""
    return (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(rate)
        + (n - k) * math.log1p(-rate)
    )


class GuessRate:
    """The share of right answers if predictions and labels were independent.

    Of balanced classes it is one over their number. A teacher that always
    says the most frequent class gets exactly that share right.

    Args:
        num_classes (int): Number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._counts = torch.zeros(2, num_classes)

    def add(self, samples: Iterable[Any]) -> None:
        """Take in a batch.

        Args:
            samples (Iterable[DataSample]): With ``gt_label``, and
                ``pred_label`` or ``pred_score``. Others are left out.
        """
        pairs = [
            (predicted, sample.gt_label)
            for sample in samples
            for predicted in [_find_prediction(sample)]
            if predicted is not None and 'gt_label' in sample
        ]
        for row, values in enumerate(zip(*pairs)):
            labels = torch.cat([value.reshape(-1) for value in values]).cpu()
            valid = (labels >= 0) & (labels < self.num_classes)
            self._counts[row] += torch.bincount(
                labels[valid], minlength=self.num_classes
            )

    def compute(self) -> float:
        """Compute the share, over all ranks.

        Returns:
            float: It, in [0, 1].
        """
        all_reduce(self._counts)
        totals = self._counts.sum(dim=1, keepdim=True)
        if not totals.all():
            return 1 / self.num_classes
        predicted, labels = self._counts / totals
        return float(predicted @ labels)


def _find_prediction(sample: Any) -> Optional[Tensor]:
    """Predicted class of a sample, (1, )."""
    if 'pred_label' in sample:
        return sample.pred_label
    if 'pred_score' in sample:
        return sample.pred_score.argmax(dim=-1, keepdim=True)
    return None
