"""Draw a picture of DSKD from the logs of runs.

The first row shows how DSKD works, and the accuracy of all runs. Below them
are the loss and the weight of each branch, for each run with a DSKDLoss. Runs
with the same legend are taken together, as one method with several seeds:
mean, and range as a shade.
"""

import argparse
import re
from collections import defaultdict
from math import ceil
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from mmengine.config import Config

from mmdskd.utils.run_log import RunLog, find_sessions, read_run_log

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
# "dskd.feat_0" is a loss of branch 0, "dskd.weight_feat_0" is its weight.
SERIES = re.compile(
    r'(?P<loss>.+)\.(?P<weight>weight_)?'
    r'(?P<term>logit|feat|label)_(?P<branch>\d+)'
)
TERMS = dict(
    logit='Logit loss of each branch',
    feat='Feature loss of each branch',
    label='Label loss of each branch',
)


class Curve(NamedTuple):
    """What several runs have logged under one name.

    Attributes:
        x (ndarray): Epochs (or iterations, in training by iterations), (n, ).
        mean (ndarray): Mean of the runs, (n, ).
        low (ndarray): Lowest of the runs, (n, ).
        high (ndarray): Highest of the runs, (n, ).
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Branch(NamedTuple):
    """The curves of one branch, in one term of one DSKDLoss."""

    losses: Curve
    weights: Curve


def iterations_per_epoch(log: RunLog) -> int:
    """Find out how many iterations an epoch has.

    Args:
        log (RunLog): Log of a run.

    Returns:
        int: The number, or 1 in training by iterations. It is too small if
        the log ends before the end of the first epoch.
    """
    # Iteration i of epoch e is the first to last of n: n(e-1) < i <= ne.
    return max(
        (
            ceil(line['iter'] / line['epoch'])
            for line in log.train
            if line.get('epoch')
        ),
        default=1,
    )


def join_curves(logs: list[RunLog], part: str, key: str) -> Curve:
    """Take together what several runs have logged under one name.

    Args:
        logs (list[RunLog]): The runs.
        part (str): "train" or "val".
        key (str): The name.

    Returns:
        Curve: The curve. Where not all runs have logged, it is about those
        that have.
    """
    points = defaultdict(list)
    for log in logs:
        scale = iterations_per_epoch(log) if part == 'train' else 1
        for line in getattr(log, part):
            if key in line:
                points[line['step'] / scale].append(line[key])
    x = sorted(points)
    return Curve(
        *(
            np.array(values)
            for values in (
                x,
                [np.mean(points[i]) for i in x],
                [np.min(points[i]) for i in x],
                [np.max(points[i]) for i in x],
            )
        )
    )


def find_branches(
    logs: list[RunLog],
) -> dict[str, dict[str, dict[int, Branch]]]:
    """Find the branches that runs have logged.

    Args:
        logs (list[RunLog]): Runs of one method.

    Returns:
        dict: The branches, by loss ("dskd"), term ("logit", "feat" or
        "label"), and number.
    """
    found = set()
    for log in logs:
        for line in log.train:
            found.update(key for key in line if SERIES.fullmatch(key))
    branches: dict = {}
    for term in TERMS:
        for key in sorted(found):
            match = SERIES.fullmatch(key)
            if match['term'] != term or match['weight']:
                continue
            loss, number = match['loss'], int(match['branch'])
            branches.setdefault(loss, {}).setdefault(term, {})[number] = (
                Branch(
                    join_curves(logs, 'train', key),
                    join_curves(
                        logs, 'train', f'{loss}.weight_{term}_{number}'
                    ),
                )
            )
    return branches


def read_sources(run: str, loss: str, number: int) -> list[str]:
    """Read where the branches attach, from the config of a run.

    Args:
        run (str): Work directory of the run, or its log file.
        loss (str): The loss as in the log, such as "dskd" for "loss_dskd".
        number (int): Number of branches.

    Returns:
        list[str]: The modules, or "stage 0", "stage 1"... if there is no
        config beside the log, or if it doesn't tell them.
    """
    sources = []
    config = find_sessions(run)[-1].with_name('config.py')
    if config.exists():
        cfg = Config.fromfile(config, import_custom_modules=False)
        distiller = cfg.model.get('distiller', {})
        mappings = distiller.get('loss_forward_mappings', {})
        mapping = mappings.get(f'loss_{loss}', mappings.get(loss, {}))
        recorder = mapping.get('branches', {}).get('recorder')
        recorders = distiller.get('student_recorders', {})
        sources = recorders.get(recorder, {}).get('sources', [])
    if len(sources) != number:
        return [f'stage {i}' for i in range(number)]
    return list(sources)


def branch_colors(number: int) -> list[tuple[float, ...]]:
    """Choose colors for branches: the deeper, the lighter."""
    return [
        matplotlib.colormaps['plasma'](position)
        for position in np.linspace(0.08, 0.75, number)
    ]


def plot_curve(axes: Axes, curve: Curve, color: object, **kwargs) -> None:
    """Draw a curve, and its range as a shade.

    Args:
        axes (Axes): Where to draw.
        curve (Curve): The curve.
        color: Its color.
        **kwargs: Arguments of ``Axes.plot``.
    """
    axes.plot(curve.x, curve.mean, color=color, **kwargs)
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
        plot_curve(
            axes, curve, color, lw=2, label=f'{name}: {curve.mean[-1]:.2f} %'
        )
        finals.append(curve.mean[-1])
        # The first tenth of training would flatten all that follows.
        lowest.append(curve.low[len(curve.low) // 10 :].min())
    if curves:
        top, bottom = max(finals), min(lowest)
        axes.set_ylim(max(bottom - 2, 0), min(top + (top - bottom) / 10, 100))
    axes.set_title('Accuracy on the validation data')
    axes.set_xlabel(unit)
    axes.set_ylabel('top-1 (%)' if metric.endswith('top1') else metric)
    axes.legend(loc='lower right', title='after the last epoch')


def colors_of(methods: dict[str, object]) -> list[str]:
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
        style = dict(lw=1.6, label=label)
        plot_curve(losses, branch.losses, colors[number], **style)
        plot_curve(weights, branch.weights, colors[number], **style)
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


def draw_schematic(axes: Axes, sources: list[str]) -> None:
    """Draw how DSKD works.

    Args:
        axes (Axes): Where to draw.
        sources (list[str]): Modules of the student at which the branches
            attach.
    """
    axes.set(xlim=(0, 100), ylim=(0, 66))
    axes.axis('off')
    axes.set_title('DSKD: the teacher supervises every stage')
    number = len(sources)
    colors = branch_colors(number)
    width = min(64 / (number + 1) - 4, 16)
    centers = np.linspace(8 + width / 2, 74 - width / 2, number + 1)

    def box(x, y, width, height, text, **style):
        style = {**dict(fc='white', ec='0.3', lw=1.2), **style}
        axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle='round,pad=0,rounding_size=1.5',
                **style,
            )
        )
        axes.text(x, y, text, ha='center', va='center', fontsize=9)

    def arrow(start, end, color='0.3', style='-|>', **kwargs):
        axes.annotate(
            '',
            end,
            start,
            arrowprops=dict(
                arrowstyle=style,
                color=color,
                lw=1.4,
                shrinkA=0,
                shrinkB=0,
                **kwargs,
            ),
        )

    # The student, as it is deployed
    box(52, 8, 95, 15, '', fc='#eef4fb', ec='#b8cfe6')
    for x, name in zip(centers, [*sources, 'last stage']):
        box(x, 9.5, width, 8, name.rpartition('.')[2])
    for left, right in zip(centers, [*centers[1:], 89]):
        arrow(
            (left + width / 2, 9.5),
            (right - (width / 2 if right < 80 else 6), 9.5),
        )
    arrow((4, 9.5), (centers[0] - width / 2, 9.5))
    box(89, 9.5, 12, 8, 'logits')
    axes.text(
        52,
        2.8,
        'student: after training, this alone is kept',
        ha='center',
        va='center',
        fontsize=8.5,
        color='#2c5d8f',
    )
    # The teacher
    box(52, 57, 95, 15, '', fc='#f3f3f3', ec='0.75')
    box(22, 55.5, 30, 8, 'frozen stages')
    box(63, 55.5, 20, 8, 'last feature')
    box(89, 55.5, 12, 8, 'logits')
    arrow((37, 55.5), (53, 55.5))
    arrow((73, 55.5), (83, 55.5))
    arrow((4, 55.5), (7, 55.5))
    axes.text(52, 62, 'teacher', ha='center', va='center', fontsize=8.5)
    # The heads, and what the teacher tells them
    bus = 41
    for x, color, i in zip(centers, colors, range(number)):
        arrow((x, 13.5), (x, 21.5), color)
        box(x, 26, width, 9, f'head {i}', ec=color, lw=2)
        arrow((x, bus), (x, 30.5), color, ls='--')
    axes.plot([centers[0], 86], [bus, bus], color='0.3', lw=1.4, ls='--')
    axes.plot([63, 63], [bus, 51.5], color='0.3', lw=1.4, ls='--')
    axes.plot([86, 86], [bus, 51.5], color='0.3', lw=1.4, ls='--')
    axes.text(
        centers[0] - 2,
        bus + 1.2,
        'feature loss + logit loss,\neach weighted by branch',
        ha='left',
        va='bottom',
        fontsize=8.5,
    )
    arrow((92, 51.5), (92, 13.5), ls='--')
    axes.text(91, 28, 'logits KD', ha='right', va='center', fontsize=8.5)
    axes.text(
        centers[-1],
        26,
        'heads: in\ntraining only',
        ha='center',
        va='center',
        fontsize=8.5,
        color='0.3',
    )


def draw_report(
    runs: dict[str, list[str]],
    teachers: list[str],
    metric: str = 'accuracy/top1',
) -> Figure:
    """Draw the picture.

    Args:
        runs (dict[str, list[str]]): The runs of each method: work
            directories or log files.
        teachers (list[str]): Runs whose last accuracy is drawn as a line.
        metric (str): Name of the accuracy in the log.
            Defaults to "accuracy/top1".

    Returns:
        Figure: The picture.
    """
    methods = {
        name: [read_nonempty(run) for run in paths]
        for name, paths in runs.items()
    }
    teacher_logs = [read_nonempty(run) for run in teachers]
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
    figure = plt.figure(
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
            draw_schematic(figure.add_subplot(top[0]), sources)
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


def read_nonempty(run: str) -> RunLog:
    """Read the log of a run that has logged something.

    Args:
        run (str): Work directory of the run, or its log file.

    Returns:
        RunLog: The log.

    Raises:
        FileNotFoundError: If there is no log, or nothing in it.
    """
    log = read_run_log(run)
    if not log.train and not log.val:
        raise FileNotFoundError(
            'RUN should be the work_dir of a run that has logged something, '
            'with <time of start>/vis_data/scalars.json in it, or such a '
            f'file, but got {run!r}.'
        )
    return log


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='RUN',
        help='work_dir of a run, or its scalars.json',
    )
    parser.add_argument(
        '--legend',
        nargs='+',
        help='a name for each RUN (default: the name of the file or folder)',
    )
    parser.add_argument(
        '--teacher',
        nargs='+',
        default=[],
        metavar='RUN',
        help='runs whose last accuracy (mean) is drawn as a line',
    )
    parser.add_argument(
        '--metric',
        default='accuracy/top1',
        help='accuracy to draw (default: accuracy/top1)',
    )
    parser.add_argument(
        '-o', '--out', default='dskd.png', help='picture (default: dskd.png)'
    )
    args = parser.parse_args()
    if args.legend is None:
        args.legend = [Path(run).resolve().stem for run in args.runs]
    if len(args.legend) != len(args.runs):
        parser.error(
            '--legend should have a name for each RUN, but got '
            f'{len(args.legend)} for {len(args.runs)}'
        )
    return args


def main() -> None:
    args = parse_args()
    matplotlib.use('Agg')
    runs = defaultdict(list)
    for legend, run in zip(args.legend, args.runs):
        runs[legend].append(run)
    figure = draw_report(runs, args.teacher, args.metric)
    figure.savefig(args.out, dpi=130)
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
