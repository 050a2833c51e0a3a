"""Accuracy and FLOPs of the exits of a multi-exit student."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdskd.models import MultiExitClassifier

from .flops import count_flops, count_flops_until


class Outputs(NamedTuple):
    """Predictions of E exits, the student's own head last, for N images.

    Attributes:
        confidences (ndarray): Largest softmax probability, (E, N).
        rights (ndarray): Whether the class is right, (E, N) of bool.
    """

    confidences: np.ndarray
    rights: np.ndarray


class Costs(NamedTuple):
    """FLOPs for one image, with E exits, the student's own head last.

    Attributes:
        until (ndarray): FLOPs of the student until the source of each exit,
            and last all of them, (E, ).
        heads (ndarray): FLOPs of the head of each exit, 0 for the last, which
            is in those of the student, (E, ).
    """

    until: np.ndarray
    heads: np.ndarray

    @property
    def alone(self) -> np.ndarray:
        """ndarray: FLOPs if an exit alone is computed, (E, )."""
        return self.until + self.heads


@torch.no_grad()
def run_exits(
    model: MultiExitClassifier, dataloader: Iterable[Any]
) -> Outputs:
    """Compute all exits for all images.

    Args:
        model (MultiExitClassifier): The student.
        dataloader (Iterable): The images, in batches.

    Returns:
        Outputs: Their predictions.

    Raises:
        ValueError: If an image has not exactly one label.
    """
    confidences, rights = [], []
    for batch in dataloader:
        data = model.data_preprocessor(batch, False)
        scores = torch.stack(model.exit_logits(data['inputs'])).softmax(-1)
        samples = data['data_samples']
        for sample in samples:
            if sample.gt_label.numel() != 1:
                raise ValueError(
                    'The accuracy of exits needs one label per image, but '
                    f'got gt_label={sample.gt_label.tolist()}'
                )
        labels = torch.cat([sample.gt_label for sample in samples])
        values, classes = scores.max(dim=-1)
        confidences.append(values.cpu())
        rights.append((classes == labels.to(classes)).cpu())
    return Outputs(
        torch.cat(confidences, 1).numpy(), torch.cat(rights, 1).numpy()
    )


@torch.no_grad()
def count_costs(model: MultiExitClassifier, image: Tensor) -> Costs:
    """Count the FLOPs until each exit.

    Args:
        model (MultiExitClassifier): The student.
        image (Tensor): An image, (1, C, H, W).

    Returns:
        Costs: The FLOPs.
    """
    heads = [0] * len(model.sources)

    def count_head(
        index: int, module: object, args: tuple, output: object
    ) -> None:
        feature = model.exits.layouts[index].to_map(output)
        heads[index] = count_flops(model.exits.heads[index], feature)

    with model.watch_sources(count_head):
        model(image)
    until = [count_flops_until(model, s, image) for s in model.sources]
    return Costs(
        np.array([*until, count_flops(model, image)]), np.array([*heads, 0])
    )


def leave(
    outputs: Outputs, costs: Costs, threshold: float
) -> tuple[float, float, np.ndarray]:
    """Find where images leave, and what it brings.

    Args:
        outputs (Outputs): All exits for N images.
        costs (Costs): FLOPs of the exits.
        threshold (float): Confidence that an image has to exceed.

    Returns:
        tuple[float, float, ndarray]: Accuracy in percent, average FLOPs, and
        the share of the images that leaves at each exit, (E, ).
    """
    # The exits come in the order of the forward, whatever that of sources.
    order = np.argsort(costs.until, kind='stable')
    sure = outputs.confidences[order] > threshold
    sure[-1] = True
    where = order[sure.argmax(axis=0)]
    images = np.arange(len(where))
    # At threshold 1 no head is computed; else all on the way.
    heads = costs.heads if threshold < 1 else np.zeros_like(costs.heads)
    spent = np.empty_like(costs.until)
    spent[order] = costs.until[order] + heads[order].cumsum()
    shares = np.bincount(where, minlength=len(order)) / len(where)
    return (
        100 * float(outputs.rights[where, images].mean()),
        float(spent[where].mean()),
        shares,
    )


def sweep(
    runs: Sequence[Outputs], costs: Costs, thresholds: Sequence[float]
) -> dict[str, np.ndarray]:
    """Go through thresholds.

    Args:
        runs (Sequence[Outputs]): All exits for the images, of each seed.
        costs (Costs): FLOPs of the exits.
        thresholds (Sequence[float]): The thresholds.

    Returns:
        dict[str, ndarray]: "accuracy" in percent and "flops", (thresholds,
        seeds), and "shares", (thresholds, seeds, E).
    """
    rows = [[leave(run, costs, t) for run in runs] for t in thresholds]
    return {
        name: np.array([[values[i] for values in row] for row in rows])
        for i, name in enumerate(('accuracy', 'flops', 'shares'))
    }


def accuracies(runs: Sequence[Outputs]) -> np.ndarray:
    """Compute the accuracy of each exit alone.

    Args:
        runs (Sequence[Outputs]): All exits for the images, of each seed.

    Returns:
        ndarray: Percent, (E, seeds).
    """
    return np.array([100 * run.rights.mean(axis=1) for run in runs]).T


def summarize(
    names: Sequence[str],
    runs: Sequence[Outputs],
    costs: Costs,
    thresholds: Sequence[float],
) -> dict[str, list[dict]]:
    """Compute accuracy and FLOPs of exits and thresholds.

    Args:
        names (Sequence[str]): Names of the exits, the student last.
        runs (Sequence[Outputs]): All exits for the images, of each seed.
        costs (Costs): FLOPs of the exits.
        thresholds (Sequence[float]): The thresholds.

    Returns:
        dict[str, list[dict]]: Numbers for JSON. "exits" has, of each exit,
        "name", "accuracy" in percent by seed, "flops" if it is computed
        alone, "flops_until_source" and "flops_of_head". "thresholds" has, of
        each threshold, "threshold", "accuracy" in percent and average
        "flops", both by seed, and "shares" of the images that leave at each
        exit, by seed.
    """
    found = sweep(runs, costs, thresholds)
    return dict(
        exits=[
            dict(
                name=name,
                accuracy=top1.tolist(),
                flops=int(flops),
                flops_until_source=int(until),
                flops_of_head=int(head),
            )
            for name, top1, flops, until, head in zip(
                names, accuracies(runs), costs.alone, *costs
            )
        ],
        thresholds=[
            dict(
                threshold=threshold,
                **{name: values[i].tolist() for name, values in found.items()},
            )
            for i, threshold in enumerate(thresholds)
        ],
    )
