"""Tell where the branches of DSKD configs attach, and what their heads cost.

Prints a table in Markdown. The cost is that of training only: the heads are
not in the exported student.
"""

import argparse
import sys
from pathlib import Path

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.pairing.branch_table import HEADER, describe_branches
from mmdskd.utils.arguments import parse_shape
from mmdskd.utils.config import check_has, load_config
from mmdskd.utils.text import format_header, format_row, message_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='configs of DSKD')
    parser.add_argument(
        '--shape',
        required=True,
        metavar='C,H,W',
        type=parse_shape,
        help='shape of an image, such as 3,32,32',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    print(format_header(HEADER))
    for path in args.configs:
        try:
            cfg = load_config(path)
            check_has(cfg, path, 'model')
            rows = describe_branches(Path(path).stem, cfg, args.shape)
        except (KeyError, OSError, TypeError, ValueError) as error:
            sys.exit(f'branch_table.py: {path}: {message_of(error)}')
        print(*map(format_row, rows), sep='\n', flush=True)


if __name__ == '__main__':
    main()
