"""Tell what the exits of a DSKD student bring: accuracy against FLOPs.

All exits are computed once for the test set, which tells for any threshold
where each image would leave. Prints what each exit does alone, and a table of
thresholds; draws the latter. Checkpoints of several seeds are taken together:
mean +- standard deviation in the tables, mean and range in the picture.
"""

import argparse
import sys

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner, load_state_dict

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.exits import Costs, Outputs, count_costs, run_exits, sweep
from mmdskd.cli import add_cfg_options, check_checkpoint
from mmdskd.experiments.statistics import format_mean_std
from mmdskd.export import multi_exit
from mmdskd.models import MultiExitClassifier
from mmdskd.utils import resolve_auto
from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file
from mmdskd.utils.config import load_config
from mmdskd.utils.files import write_json
from mmdskd.utils.text import format_header, format_row

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
# Those of the picture
CURVE = [
    *np.linspace(0, 0.9, 46),
    *np.linspace(0.905, 0.995, 19),
    *np.linspace(0.9955, 1, 10),
]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'config', help='config of a DSKD run, or a multi_exit_config.py'
    )
    parser.add_argument(
        'checkpoints',
        nargs='+',
        metavar='CHECKPOINT',
        help='checkpoint of the run, or of the multi-exit student; one per '
        'seed',
    )
    parser.add_argument(
        '--thresholds',
        type=float,
        nargs='+',
        default=THRESHOLDS,
        help='thresholds of the table, in [0, 1] (default: '
        f'{" ".join(map(str, THRESHOLDS))})',
    )
    parser.add_argument(
        '--loss',
        help='DSKD loss whose heads are the exits, if there are several',
    )
    parser.add_argument(
        '-o', '--out', default='exits.png', help='picture (default: exits.png)'
    )
    parser.add_argument('--json', help='file for the numbers of the tables')
    add_cfg_options(parser)
    args = parser.parse_args()
    if not all(0 <= threshold <= 1 for threshold in args.thresholds):
        parser.error(
            f'--thresholds should be in [0, 1], but got {args.thresholds}'
        )
    return args


def load_models(
    args: argparse.Namespace,
) -> tuple[Config, list[MultiExitClassifier]]:
    """Load the multi-exit students.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Returns:
        tuple[Config, list[MultiExitClassifier]]: Their config and the
        students, in eval mode.

    Raises:
        ValueError: If the config is neither that of a DSKD run nor that of a
            multi-exit student, or a checkpoint does not fit.
    """
    cfg = load_config(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    exits = None
    if 'exits' not in cfg.get('model', {}):
        exits = multi_exit.find_exits(resolve_auto(cfg), args.loss)
        cfg = multi_exit.make_multi_exit_config(cfg, exits)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    models = []
    for path in args.checkpoints:
        check_checkpoint(path)
        checkpoint = load_checkpoint_file(path)
        if exits is not None:
            checkpoint = multi_exit.extract_multi_exit(checkpoint, exits)
        model = MODELS.build(cfg.model)
        try:
            load_state_dict(model, checkpoint['state_dict'], strict=True)
        except RuntimeError as error:
            raise ValueError(
                f'{path} should be a checkpoint of {args.config}, but: {error}'
            ) from error
        models.append(model.to(get_device()).eval())
    return cfg, models


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table in Markdown."""
    print(format_header(header), *map(format_row, rows), '', sep='\n')


def report(
    names: list[str],
    runs: list[Outputs],
    costs: Costs,
    thresholds: list[float],
) -> dict:
    """Print the tables.

    Args:
        names (list[str]): Names of the exits, the student last.
        runs (list[Outputs]): All exits for the images, of each seed.
        costs (Costs): FLOPs of the exits.
        thresholds (list[float]): The thresholds.

    Returns:
        dict: The numbers of the tables, for JSON.
    """
    plain = costs.until[-1]
    alone = np.array([100 * run.rights.mean(axis=1) for run in runs]).T
    print_table(
        ['exit, alone', 'top-1 (%)', 'FLOPs', "of the student's"],
        [
            [name, format_mean_std(top1), f'{flops:,}', f'{flops / plain:.0%}']
            for name, top1, flops in zip(names, alone, costs.alone)
        ],
    )
    found = sweep(runs, costs, thresholds)
    print_table(
        [
            'threshold',
            'top-1 (%)',
            'average FLOPs',
            "of the student's",
            *(f'leave at {name}' for name in names),
        ],
        [
            [
                f'{threshold:g}',
                format_mean_std(top1),
                f'{flops.mean():,.0f}',
                f'{flops.mean() / plain:.0%}',
                *(f'{share:.0%}' for share in shares.mean(axis=0)),
            ]
            for threshold, top1, flops, shares in zip(
                thresholds, *found.values()
            )
        ],
    )
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
                names, alone, costs.alone, *costs
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


def draw_curve(
    names: list[str], runs: list[Outputs], costs: Costs, marked: list[float]
) -> Figure:
    """Draw accuracy against average FLOPs.

    Args:
        names (list[str]): Names of the exits, the student last.
        runs (list[Outputs]): All exits for the images, of each seed.
        costs (Costs): FLOPs of the exits.
        marked (list[float]): Thresholds that are marked on the curve.

    Returns:
        Figure: The picture.
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout='constrained')
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
    for threshold, *point in zip(marked, x, y):
        # Slanted, as the points may be close
        axes.annotate(
            f'{threshold:g}',
            point,
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
    alone = np.array([100 * run.rights.mean(axis=1) for run in runs]).mean(0)
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


def main() -> None:
    args = parse_args()
    matplotlib.use('Agg')
    try:
        cfg, models = load_models(args)
    except (CheckpointError, OSError, TypeError, ValueError) as error:
        sys.exit(f'exit_curve.py: {type(error).__name__}: {error}')
    dataloader = Runner.build_dataloader(cfg.test_dataloader)
    runs = [run_exits(model, dataloader) for model in models]
    batch = models[0].data_preprocessor(next(iter(dataloader)), False)
    costs = count_costs(models[0], batch['inputs'][:1])
    names = [*models[0].sources, 'the student']
    thresholds = sorted(args.thresholds)
    numbers = report(names, runs, costs, thresholds)
    if args.json:
        write_json(args.json, numbers)
        print(f'Numbers: {args.json}')
    figure = draw_curve(names, runs, costs, thresholds)
    figure.savefig(args.out, dpi=110)
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
