"""Keep the results of a comparison as a small file to commit.

    python tools/demo.py --seeds 10 --work-dir work_dirs/demo
    python tools/misc/keep_results.py work_dirs/demo/results.json \\
        docs/results/digits_resnet20_resnet8-thin.json \\
        --title 'resnet20 to resnet8-thin' \\
        --command 'python tools/demo.py --seeds 10'
    python tools/misc/benchmark_tables.py

The file has one run per line: method, seed, top-1 after the last epoch and
after each validation, config, settings, time, threads and version of torch.
Runs of more seeds or methods are added to a file that is there. None is
replaced or removed: a run with other settings than those kept of its method,
or with another accuracy than the one kept of its seed, is refused.
"""

import argparse
import sys
from pathlib import Path

from mmdskd.analysis.measure import describe_machine
from mmdskd.experiments.kept_results import keep_results
from mmdskd.utils.files import check_new_file
from mmdskd.utils.text import describe_error


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'results', type=Path, help='results.json that tools/demo.py has left'
    )
    parser.add_argument(
        'kept', type=Path, help='the file to write, docs/results/NAME.json'
    )
    parser.add_argument(
        '--title', help='what is compared (default: what the file says)'
    )
    parser.add_argument(
        '--command',
        help='the command that trains the runs (default: what the file says)',
    )
    parser.add_argument(
        '--reference',
        nargs='+',
        metavar='METHOD',
        help='the methods that all others are compared with, such as "kd '
        'dskd" (default: what the file says, or kd)',
    )
    parser.add_argument(
        '--machine', help='where the runs were trained (default: this machine)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        check_new_file(args.kept, True, 'KEPT')  # which is added to
        print(
            keep_results(
                args.results,
                args.kept,
                args.machine or describe_machine(),
                args.title,
                args.command,
                args.reference,
            )
        )
    except (OSError, ValueError) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
