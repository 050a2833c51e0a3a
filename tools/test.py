"""Test a checkpoint of a model or a distillation algorithm."""

import argparse
import math
import sys

from mmengine.runner import Runner

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.cli import add_run_arguments, check_checkpoint, load_run_config
from mmdskd.utils.config import without_teacher_weights


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument('checkpoint', help='path or URL of a checkpoint')
    parser.add_argument(
        '--amp', action='store_true', help='test in automatic mixed precision'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_checkpoint(args.checkpoint)
    cfg = load_run_config(args)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    # The student is tested; its teacher may be gone.
    runner = Runner.from_cfg(without_teacher_weights(cfg))
    # The Runner has written the config over that of the training.
    runner.cfg = cfg
    runner.dump_config()
    scores = runner.test()
    if any(isinstance(s, float) and math.isnan(s) for s in scores.values()):
        sys.exit(f'test.py: a score of {args.checkpoint} is nan: {scores}')


if __name__ == '__main__':
    main()
