"""Find where DSKD attaches to networks of timm, torchvision or transformers.

Prints a table in Markdown. Each network is built with random weights, and
trained for two iterations on random images as student of a ResNet18 of
MMPretrain, and as its teacher.
"""

import argparse
import logging
import sys
import tempfile
import warnings

from mmengine.logging import MMLogger

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.pairing.network_table import HEADER, look_at
from mmdskd.pairing.other_networks import LIBRARIES
from mmdskd.utils.text import format_header, format_row


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('library', choices=list(LIBRARIES))
    parser.add_argument(
        'names',
        nargs='*',
        help='names of networks of the table (default: all of them)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    networks = LIBRARIES[args.library]
    known = [network.name for network in networks]
    unknown = [name for name in args.names if name not in known]
    if unknown:
        sys.exit(
            f'network_table.py: names should be of {", ".join(known)}, but '
            f'got {", ".join(unknown)}'
        )
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')
    print(format_header(HEADER))
    with tempfile.TemporaryDirectory() as folder:
        for network in networks:
            if not args.names or network.name in args.names:
                found = look_at(network, args.library, folder, train=True)
                print(format_row(found.to_row(network)), flush=True)


if __name__ == '__main__':
    main()
