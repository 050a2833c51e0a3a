"""The picture of accuracy against FLOPs of a multi-exit student."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .exits import Costs, Outputs, accuracies, sweep

# Thresholds of the curve
CURVE = [
    *np.linspace(0, 0.9, 46),
    *np.linspace(0.905, 0.995, 19),
    *np.linspace(0.9955, 1, 10),
]


def draw_curve(
    names: Sequence[str],
    runs: Sequence[Outputs],
    costs: Costs,
    marked: Sequence[float],
) -> Figure:
    """Draw accuracy against average FLOPs.

    Args:
        names (Sequence[str]): Names of the exits, the student last.
        runs (Sequence[Outputs]): All exits for the images, of each seed.
        costs (Costs): FLOPs of the exits.
        marked (Sequence[float]): Thresholds that are marked on the curve.

    Returns:
        Figure: The picture.
    """
    figure = Figure(figsize=(7.2, 4.6), layout='constrained')
    axes = figure.subplots()
    # At 1 no head is computed, so the curve jumps to the plain student.
    found = sweep(runs, costs, [t for t in CURVE if t < 1])
    x, y = found['flops'].mean(axis=1) / 1e6, found['accuracy']
    axes.plot(
        x,
        y.mean(axis=1),
        color='#d62728',
        lw=2,
        label='stop at the first sure exit',
    )
    if len(runs) > 1:
        axes.fill_between(
            x,
            y.min(axis=1),
            y.max(axis=1),
            color='#d62728',
            alpha=0.15,
            lw=0,
            label=f'range of {len(runs)} seeds',
        )
    marked = [t for t in marked if t < 1]
    found = sweep(runs, costs, marked)
    x, y = found['flops'].mean(axis=1) / 1e6, found['accuracy'].mean(axis=1)
    axes.plot(x, y, 'o', color='#d62728', ms=4)
    for threshold, flops, top1 in zip(marked, x, y):
        # Slanted, as the points may be close
        axes.annotate(
            f'{threshold:g}',
            (flops, top1),
            (5, -3),
            fontsize=8,
            va='top',
            rotation=-45,
            rotation_mode='anchor',
            textcoords='offset points',
            color='#d62728',
        )
    colors = matplotlib.colormaps['plasma'](
        np.linspace(0.08, 0.75, len(names) - 1)
    )
    alone = accuracies(runs).mean(axis=1)
    for name, color, flops, top1 in zip(
        names, [*colors, '#1f77b4'], costs.alone / 1e6, alone
    ):
        axes.plot(
            flops,
            top1,
            's',
            color=color,
            ms=7,
            label=f'{name}, alone: {top1:.2f} %',
        )
    axes.axhline(alone[-1], color='#1f77b4', ls=':', lw=1)
    axes.axvline(costs.until[-1] / 1e6, color='#1f77b4', ls=':', lw=1)
    axes.set_title(
        'Accuracy and computation of a multi-exit student\n'
        '(thresholds of confidence beside the curve)',
        fontsize=11,
    )
    axes.set_xlabel('average FLOPs per image (millions of multiply-adds)')
    axes.set_ylabel('top-1 (%)')
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(loc='best', fontsize=9)
    return figure
