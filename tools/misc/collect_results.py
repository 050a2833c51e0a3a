"""Collect finished runs into a table: top-1 over seeds, last and best epoch.

Train each config with several seeds, each in a folder of its own:

    config=configs/kd/cifar100/kd_resnet56_resnet20_1xb64_cifar100.py
    name=$(basename $config .py)
    for seed in 0 1 2; do
        python tools/train.py $config --work-dir work_dirs/$name/seed$seed \\
            --cfg-options randomness.seed=$seed
    done
    python tools/misc/collect_results.py work_dirs --out results.json \\
        --readme configs/kd/README.md

A run is every folder that holds <time of start>/vis_data/scalars.json. The
file name of the config that MMEngine leaves in it tells which config it is
of. The table has mean +- standard deviation (of a sample: n - 1) over seeds
of two figures: "last", after the last epoch, and "best", of the epoch that is
best on the test set itself. The latter is chosen on the data that it is
reported for, and so is optimistic: quote "last".

In training by iterations, read "iteration" for "epoch".

Left out, and listed by name with the reason: runs that have not reached the
last epoch of their config, or can't be read; and of two runs of the same
config, settings and seed the one that was started earlier. Runs of a config
that was trained with other settings (--cfg-options, --amp, ...) get a row of
their own, and don't go into a README.
"""

import argparse
import sys

import mmdskd  # noqa: F401  (lets configs build on those of MMPretrain)
from mmdskd.experiments.collection import (
    collect,
    format_collection,
    write_collection,
)
from mmdskd.experiments.readme_tables import OURS, check_readmes, fill_readmes
from mmdskd.utils.arguments import add_force
from mmdskd.utils.files import check_new_file
from mmdskd.utils.text import describe_error


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'folders',
        nargs='*',
        default=['work_dirs'],
        metavar='FOLDER',
        help='folder with runs, at any depth (default: work_dirs)',
    )
    parser.add_argument(
        '--metric',
        default='accuracy/top1',
        help='accuracy in the log, the larger the better (default: '
        'accuracy/top1)',
    )
    parser.add_argument(
        '--out', metavar='FILE', help='write all figures to this JSON file'
    )
    parser.add_argument(
        '--readme',
        nargs='+',
        default=[],
        metavar='FILE',
        help=f'fill the column "{OURS}" of the tables in these markdown '
        'files: "last / best (seeds)" in the rows that name or link a config '
        'with finished runs. All else stays as it is',
    )
    add_force(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        if args.out:
            check_new_file(args.out, args.force, '--out')
        check_readmes(args.readme)
        collection = collect(args.folders, args.metric)
        print(format_collection(collection))
        if args.out:
            write_collection(args.out, collection)
            print(f'\nResults: {args.out}')
        if args.readme:
            print(f'\n{fill_readmes(args.readme, collection.results)}')
    except (OSError, ValueError) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
