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
from mmdskd.experiments.launchers import count_cores
from mmdskd.experiments.pairs import PAIRS
from mmdskd.experiments.plan import METHODS, Plan, Variant
from mmdskd.experiments.training import TrainingError, carry_out
from mmdskd.utils.arguments import whole_number
from mmdskd.utils.text import message_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--seeds',
        type=whole_number(1),
        default=1,
        help='number of seeds: 0, 1, ... (default: 1)',
    )
    parser.add_argument(
        '--pair',
        choices=list(PAIRS),
        default=next(iter(PAIRS)),
        help='teacher and student (default: %(default)s); the others take '
        'longer',
    )
    parser.add_argument(
        '--one-teacher',
        action='store_true',
        help='train the teacher with seed 0 alone and let it teach in all '
        'seeds, as with a published checkpoint',
    )
    parser.add_argument(
        '--teacher-from',
        type=Path,
        metavar='FOLDER',
        help='take the finished teachers of another folder of runs, '
        'FOLDER/seed0/teacher and so on, as they are',
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=METHODS,
        default=METHODS,
        help='which of the four to train (default: all); the teacher is '
        'trained if a distillation needs it',
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
        '--variant',
        nargs='+',
        action='append',
        default=[],
        metavar=('NAME', '[CONFIG] KEY=VALUE'),
        help='one more method: a config or one of kd, dskd, student '
        '(default: dskd) with other settings; may be repeated',
    )
    parser.add_argument(
        '--jobs',
        type=whole_number(1),
        help='number of trainings at a time (default: as the cores allow)',
    )
    parser.add_argument(
        '--threads',
        type=whole_number(1),
        default=1,
        help='number of threads that compute in each training (default: '
        '%(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that override those of all configs',
    )
    args = parser.parse_args()
    if args.jobs is None:
        args.jobs = max(count_cores() // args.threads, 1)
    if args.work_dir is None:
        is_default = args.pair == parser.get_default('pair')
        args.work_dir = Path(
            'work_dirs/demo' if is_default else f'work_dirs/demo_{args.pair}'
        )
    return args


def read_variant(words: list[str]) -> Variant:
    """Read ``[CONFIG] KEY=VALUE ...``."""
    if words and '=' not in words[0]:
        return Variant(words[0], words[1:])
    return Variant('dskd', words)


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
        args.methods,
        {name: read_variant(words) for name, *words in args.variant},
        args.teacher_from,
    )
    try:
        results = carry_out(plan, args.seeds, args.jobs, args.threads)
    except TrainingError as error:
        sys.exit(str(error))
    except (OSError, ValueError) as error:
        sys.exit(f'demo.py: {message_of(error)}')
    except KeyboardInterrupt:
        print('\nInterrupted. Run the same command again to go on.')
        sys.exit(130)
    print(
        f'\n{compare(results)}\n\nResults: {plan.results_file}\n'
        f'Picture: {plan.report}'
    )


if __name__ == '__main__':
    main()
