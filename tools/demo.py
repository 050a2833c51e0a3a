"""Train teacher, student, KD and DSKD on real digits, and compare them.

Within a seed, all students start from the same weights and see the same
batches, and both distillations have the same teacher. Run again after an
interruption, it goes on.
"""

import argparse
import signal
import sys
from pathlib import Path

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.experiments.comparison import compare
from mmdskd.experiments.plan import PAIRS, Plan
from mmdskd.experiments.training import TrainingError, carry_out


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--seeds',
        type=int,
        default=1,
        help='number of seeds: 0, 1, ... (default: 1)',
    )
    parser.add_argument(
        '--pair',
        choices=list(PAIRS),
        default=next(iter(PAIRS)),
        help='teacher and student (default: %(default)s); the others are '
        'networks of the CIFAR papers, which take some ten minutes per seed',
    )
    parser.add_argument(
        '--one-teacher',
        action='store_true',
        help='train the teacher with seed 0 alone and let it teach in all '
        'seeds, as with a published checkpoint',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of all runs (default: work_dirs/demo, for another pair '
        'work_dirs/demo_PAIR)',
    )
    parser.add_argument(
        '--extra',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='more distillation configs to compare, such as '
        'configs/dskd/digits/*.py; each is a method named by its file',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that override those of all configs',
    )
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f'--seeds should be at least 1, but got {args.seeds}')
    if args.work_dir is None:
        is_default = args.pair == parser.get_default('pair')
        args.work_dir = Path(
            'work_dirs/demo' if is_default else f'work_dirs/demo_{args.pair}'
        )
    return args


def main() -> None:
    args = parse_args()
    # A kill ends the demo, and its training, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(
        args.work_dir,
        args.pair,
        args.extra,
        args.cfg_options,
        args.one_teacher,
    )
    try:
        results = carry_out(plan, args.seeds)
    except TrainingError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f'demo.py: {error}')
    except KeyboardInterrupt:
        print('\nInterrupted. Run the same command again to go on.')
        sys.exit(130)
    print(
        f'\n{compare(results)}\n\nResults: {plan.results_file}\n'
        f'Picture: {plan.report}'
    )


if __name__ == '__main__':
    main()
