"""Tell what the exits of a DSKD student bring: accuracy against FLOPs.

All exits are computed once for the test set, which tells for any threshold
where each image would leave. Prints what each exit does alone, and a table of
thresholds; draws the latter. Checkpoints of several seeds are taken together:
mean +- standard deviation in the tables, mean and range in the picture.
"""

import argparse
import sys

from mmengine.runner import Runner

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.exit_curve import draw_curve
from mmdskd.analysis.exits import count_costs, run_exits, summarize
from mmdskd.analysis.picture import check_picture_name, save_figure
from mmdskd.engine.checks.config_check import merge_options
from mmdskd.experiments.exit_report import (
    format_exits,
    format_thresholds,
    load_models,
)
from mmdskd.utils.arguments import add_cfg_options, add_force
from mmdskd.utils.checkpoint import CheckpointError
from mmdskd.utils.config import check_has, load_config
from mmdskd.utils.files import check_new_file, write_json
from mmdskd.utils.progress import Progress
from mmdskd.utils.text import describe_error

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


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
    add_force(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    if not all(0 <= threshold <= 1 for threshold in args.thresholds):
        parser.error(
            f'--thresholds should be in [0, 1], but got {args.thresholds}'
        )
    return args


def main() -> None:
    args = parse_args()
    try:
        check_picture_name(args.out)
        check_new_file(args.out, args.force)
        if args.json:
            check_new_file(args.json, args.force, '--json')
        cfg = load_config(args.config)
        merge_options(cfg, args.cfg_options)
        check_has(cfg, args.config, 'model', 'test_dataloader')
        cfg, models = load_models(cfg, args.checkpoints, args.loss)
    except (
        CheckpointError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        sys.exit(f'exit_curve.py: {args.config}: {describe_error(error)}')
    dataloader = Runner.build_dataloader(cfg.test_dataloader)
    parts = [f'checkpoint {i + 1}' for i in range(len(models))]
    with Progress('exit_curve.py', dict.fromkeys(parts, 1)) as progress:
        runs = [
            run_exits(model, progress.follow(part, dataloader))
            for model, part in zip(models, parts)
        ]
    batch = models[0].data_preprocessor(next(iter(dataloader)), False)
    costs = count_costs(models[0], batch['inputs'][:1])
    names = [*models[0].sources, 'the student']
    thresholds = sorted(args.thresholds)
    numbers = summarize(names, runs, costs, thresholds)
    print(format_exits(numbers), '', format_thresholds(numbers), '', sep='\n')
    if args.json:
        write_json(args.json, numbers)
        print(f'Numbers: {args.json}')
    figure = draw_curve(names, runs, costs, thresholds)
    save_figure(figure, args.out, dpi=110)
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
