"""Draw a picture of DSKD from the logs of runs.

The first row shows how DSKD works, and the accuracy of all runs. Below them
are the loss and the weight of each branch, for each run with a DSKDLoss. Runs
with the same legend are taken together, as one method with several seeds:
mean, and range as a shade.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from mmdskd.analysis.picture import check_picture_name
from mmdskd.experiments.report import save_report
from mmdskd.utils.arguments import add_force
from mmdskd.utils.files import check_new_file
from mmdskd.utils.text import describe_error


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
    add_force(parser)
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
    runs = defaultdict(list)
    for legend, run in zip(args.legend, args.runs):
        runs[legend].append(run)
    try:
        check_picture_name(args.out)
        check_new_file(args.out, args.force)
        save_report(args.out, runs, args.teacher, args.metric)
    except (OSError, ValueError) as error:
        sys.exit(describe_error(error))
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
