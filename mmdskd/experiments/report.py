"""Draw the accuracy of runs, and losses and weights of their branches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mmdskd.analysis.picture import save_figure

from .curves import (
    LAST_LAYER,
    TERMS,
    Branch,
    Curve,
    check_metric,
    find_branches,
    join_curves,
    read_nonempty,
    read_sources,
)
from .run_log import RunLog
from .schematic import Color, branch_colors, draw_schematic

METHOD_COLORS = (
    '#7f7f7f',
    '#1f77b4',
    '#d62728',
    '#2ca02c',
    '#9467bd',
    '#8c564b',
    '#e377c2',
    '#17becf',
    '#bcbd22',
    '#ff7f0e',
)
TEACHER_COLOR = '#222222'


def plot_curve(
    axes: Axes, curve: Curve, color: Color, width: float, label: str
) -> None:
    """Draw a curve, and its range as a shade.

    Args:
        axes (Axes): Where to draw.
        curve (Curve): The curve.
        color (str or tuple): Its color.
        width (float): Width of the line, in points.
        label (str): Its name in the legend.
    """
    axes.plot(curve.x, curve.mean, color=color, lw=width, label=label)
    if (curve.low < curve.high).any():
        axes.fill_between(
            curve.x, curve.low, curve.high, color=color, alpha=0.15, lw=0
        )


def draw_accuracy(
    axes: Axes,
    methods: dict[str, list[RunLog]],
    teachers: list[RunLog],
    metric: str,
    unit: str,
) -> None:
    """Draw the accuracy of all runs over training.

    Args:
        axes (Axes): Where to draw.
        methods (dict[str, list[RunLog]]): The runs of each method.
        teachers (list[RunLog]): Runs whose last accuracy is drawn as a line.
        metric (str): Name of the accuracy in the log.
        unit (str): What x counts.
    """
    curves = {
        name: join_curves(logs, 'val', metric)
        for name, logs in methods.items()
    }
    curves = {name: curve for name, curve in curves.items() if len(curve.x)}
    finals = []
    lowest = []
    if teachers:
        last = np.mean(
            [join_curves([log], 'val', metric).mean[-1] for log in teachers]
        )
        axes.axhline(
            last,
            color=TEACHER_COLOR,
            ls='--',
            lw=1.5,
            label=f'teacher: {last:.2f} %',
        )
        finals.append(last)
    for (name, curve), color in zip(curves.items(), colors_of(curves)):
        plot_curve(axes, curve, color, 2, f'{name}: {curve.mean[-1]:.2f} %')
        finals.append(curve.mean[-1])
        # The first tenth of training would flatten all that follows.
        lowest.append(curve.low[len(curve.low) // 10 :].min())
    # Scores of a broken model are nan.
    finals = [value for value in finals if np.isfinite(value)]
    lowest = [value for value in lowest if np.isfinite(value)]
    if finals and lowest:
        top, bottom = max(finals), min(lowest)
        axes.set_ylim(max(bottom - 2, 0), min(top + (top - bottom) / 10, 100))
    axes.set_title('Accuracy on the validation data')
    axes.set_xlabel(unit)
    axes.set_ylabel('top-1 (%)' if metric.endswith('top1') else metric)
    title = 'after the last epoch'
    counts = [len(methods[name]) for name in curves]
    if max(counts, default=1) > 1:
        least = f'{min(counts)} to ' if min(counts) < max(counts) else ''
        title += f';\nmean and range of {least}{max(counts)} runs'
    axes.legend(loc='lower right', title=title)


def colors_of(methods: Mapping[str, object]) -> list[str]:
    """Choose a color for each method."""
    return [METHOD_COLORS[i % len(METHOD_COLORS)] for i in range(len(methods))]


def draw_branches(
    axes: list[Axes],
    branches: dict[int, Branch],
    sources: list[str],
    title: str,
    unit: str,
) -> None:
    """Draw losses and weights of the branches in one term.

    Args:
        axes (list[Axes]): Where to draw losses and weights.
        branches (dict[int, Branch]): The branches by number.
        sources (list[str]): Where they attach.
        title (str): What the term is about.
        unit (str): What x counts.
    """
    losses, weights = axes
    colors = branch_colors(len(sources))
    for number, branch in branches.items():
        label = f'branch {number} ({sources[number]})'
        plot_curve(losses, branch.losses, colors[number], 1.6, label)
        plot_curve(weights, branch.weights, colors[number], 1.6, label)
    if all((branch.losses.low > 0).all() for branch in branches.values()):
        losses.set_yscale('log')
        losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        losses.yaxis.set_major_formatter('{x:g}')
        losses.yaxis.set_minor_formatter(NullFormatter())
    losses.set_title(title)
    losses.set_ylabel('loss before weighting')
    # Weights that hardly differ should look so.
    low, high = weights.get_ylim()
    weights.set_ylim(min(low, 0.9), max(high, 1.1))
    weights.axhline(1, color='0.4', ls=':', lw=1.2)
    weights.annotate(
        'equal weights',
        (1, 1),
        (-4, 3),
        xycoords=weights.get_yaxis_transform(),
        textcoords='offset points',
        ha='right',
        va='bottom',
        fontsize=8,
        color='0.4',
    )
    weights.set_ylabel('weight (average 1)')
    weights.set_xlabel(unit)
    weights.sharex(losses)


def draw_report(
    runs: Mapping[str, Sequence[Union[str, Path]]],
    teachers: Sequence[Union[str, Path]],
    metric: str = 'accuracy/top1',
) -> Figure:
    """Draw the picture.

    Args:
        runs (dict[str, list[str or Path]]): The runs of each method: work
            directories or log files.
        teachers (list[str or Path]): Runs whose last accuracy is drawn as a
            line.
        metric (str): Name of the accuracy in the log.
            Defaults to "accuracy/top1".

    Returns:
        Figure: The picture.

    Raises:
        FileNotFoundError: If a run has logged nothing.
        ValueError: If a log is broken, or was validated without the metric.
    """
    methods = {
        name: [read_nonempty(run) for run in paths]
        for name, paths in runs.items()
    }
    teacher_logs = [read_nonempty(run) for run in teachers]
    for name, paths in runs.items():
        for path, log in zip(paths, methods[name]):
            if log.val:
                check_metric(path, log, metric)
    for path, log in zip(teachers, teacher_logs):
        check_metric(path, log, metric)
    by_epoch = all(
        'epoch' in line
        for logs in methods.values()
        for log in logs
        for line in log.train
    )
    unit = 'epoch' if by_epoch else 'iteration'
    panels = [
        (name, loss, terms)
        for name, logs in methods.items()
        for loss, terms in find_branches(logs).items()
    ]
    heights = [4.0] + [4.8] * len(panels)
    figure = Figure(
        figsize=(10 if panels else 6, sum(heights)), layout='constrained'
    )
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    top = grid[0].subgridspec(1, 2 if panels else 1)
    draw_accuracy(
        figure.add_subplot(top[-1]), methods, teacher_logs, metric, unit
    )
    for row, (name, loss, terms) in enumerate(panels, 1):
        number = 1 + max(max(branches) for branches in terms.values())
        sources = read_sources(runs[name][0], loss, number)
        if row == 1:
            shallow = [name for name in sources if name != LAST_LAYER]
            draw_schematic(figure.add_subplot(top[0]), shallow)
        cells = grid[row].subgridspec(2, len(terms), height_ratios=[2.6, 2.2])
        for column, (term, branches) in enumerate(terms.items()):
            title = TERMS[term]
            if len(panels) > 1:
                title = f'{name} ({loss})\n{title}'
            pair = [figure.add_subplot(cells[i, column]) for i in range(2)]
            draw_branches(pair, branches, sources, title, unit)
            if column == 0:
                # All columns have the same colors.
                pair[0].legend()
    for axes in figure.axes:
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[['top', 'right']].set_visible(False)
    return figure


def save_report(
    path: Union[str, Path],
    runs: Mapping[str, Sequence[Union[str, Path]]],
    teachers: Sequence[Union[str, Path]] = (),
    metric: str = 'accuracy/top1',
) -> None:
    """Draw the picture into a file.

    Args:
        path (str or Path): The file, whose name tells the format.
        runs (dict[str, list[str or Path]]): See :func:`draw_report`.
        teachers (list[str or Path]): See :func:`draw_report`. Defaults to
            none.
        metric (str): See :func:`draw_report`.

    Raises:
        FileNotFoundError: If a run has logged nothing.
        OSError: If the file can't be written.
        ValueError: If a log is broken, was validated without the metric, or
            if the name of the file tells no format.
    """
    save_figure(draw_report(runs, teachers, metric), path, dpi=130)
