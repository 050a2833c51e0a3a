"""Fill the tables of docs/benchmarks.md from docs/results/*.json.

    python tools/misc/benchmark_tables.py            # fills them
    python tools/misc/benchmark_tables.py --check    # says if they differ

In the page, the line <!-- results: PATTERN ... --> begins the comparisons
whose file names match a pattern, such as fashion-mnist_*, and the line
<!-- summary: PATTERN ... --> one table of them (without patterns: of all).
<!-- end --> ends both.
This command writes what is between the two. Every file has to be shown once.
"""

import argparse
import sys
from pathlib import Path

from mmdskd.experiments.benchmark_page import fill_page
from mmdskd.utils.text import describe_error

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing, and exit with 1 if the page is not what the '
        'files give',
    )
    parser.add_argument(
        '--docs',
        type=Path,
        default=DOCS,
        help='folder of benchmarks.md and results/ (default: docs/ of the '
        'project)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        print(fill_page(args.docs, args.check))
    except (OSError, ValueError) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
