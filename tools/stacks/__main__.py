"""Test mmdskd on the stacks of requirements/stacks.cfg.

    make test-matrix                         # all that have not passed yet
    make test-matrix STACKS='oldest onedl'   # these
    python -m tools.stacks --check           # are the tables up to date?

Each stack gets a new environment and the log ENVS/STACK.log. Its result goes
into docs/stacks.json at once, and the tables in README.md and docs/*.md,
between <!-- stacks --> and <!-- end of stacks -->, show all results. A stack
that has passed with the same files is not run again, so an interrupted run
continues. The exit status is 1 if a stack fails, can't be built, or is named
and lacks its interpreter.

The standard library of Python 3.9 is enough to run this.
"""

import argparse
import configparser
import json
import sys
from pathlib import Path

from .stack_list import Stack, fill_tables, keep_result, read_stacks
from .stack_run import has_passed, test_stack

ROOT = Path(__file__).resolve().parents[2]


def run_stacks(stacks: dict[str, Stack], args: argparse.Namespace) -> int:
    bad = []
    for name in args.stacks or stacks:
        stack = stacks[name]
        if not args.again and has_passed(stack, args.root):
            print(f'{name}: has passed with the same files')
            continue
        print(f'{name}: begins, log in {args.envs / name}.log', flush=True)
        result = test_stack(stack, args)
        keep_result(args.root, name, result)
        fill_tables(args.root, stacks, check=False)
        outcome = result['outcome']
        print(
            f'{name}: {outcome}',
            *(
                f'{result[key]} {key}'
                for key in ('passed', 'failed', 'skipped', 'reason')
                if key in result
            ),
            sep=', ',
            flush=True,
        )
        if outcome in ('failed', 'not built') or (
            outcome == 'not available' and args.stacks
        ):
            bad.append(name)
    if bad:
        print(f'Not passed: {", ".join(bad)}')
    return int(bool(bad))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('stacks', nargs='*', help='names of stacks (default: all)')
    add('--again', action='store_true', help='also those that have passed')
    add('--keep', action='store_true', help='keep environments, and use them')
    add('--workers', help='how many processes run tests (default: cores)')
    add('--list', action='store_true', help='print names and Pythons as JSON')
    add('--table', action='store_true', help='only write the tables')
    add('--check', action='store_true', help='only check the tables')
    add('--root', type=Path, default=ROOT, help='folder of the project')
    add('--envs', type=Path, help='folder of logs and environments')
    args = parser.parse_args()
    args.root = args.root.resolve()
    args.envs = (args.envs or args.root / 'work_dirs' / 'stacks').resolve()
    return args


def main() -> None:
    args = parse_args()
    try:
        stacks = read_stacks(args.root)
        unknown = sorted(set(args.stacks) - set(stacks))
        if unknown:
            raise ValueError(
                f'stacks should be among {[*stacks]}, but got {unknown}'
            )
        if args.list:
            entries = [
                dict(stack=x.name, python=x.python) for x in stacks.values()
            ]
            print(json.dumps(entries))
        elif args.table or args.check:
            fill_tables(args.root, stacks, args.check)
        else:
            sys.exit(run_stacks(stacks, args))
    except (OSError, ValueError, configparser.Error) as error:
        sys.exit(f'{type(error).__name__}: {error}')
    except KeyboardInterrupt:
        sys.exit('Interrupted. The same command continues.')


if __name__ == '__main__':
    main()
