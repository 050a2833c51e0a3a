"""Train a model or a distillation algorithm from a config."""

import argparse

from mmengine.runner import Runner

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.cli import (
    add_run_arguments,
    check_amp_device,
    enable_amp,
    enable_auto_scale_lr,
    load_run_config,
    resume_from,
)
from mmdskd.engine.checks.run_check import check_run
from mmdskd.engine.interruption import ends_with_a_line
from mmdskd.engine.run_logs import closes_logs
from mmdskd.utils.config import type_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='go on from a checkpoint, or without a value from the latest '
        'one of the work_dir, if there is one',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in automatic mixed precision (not on a CPU)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size over '
        'auto_scale_lr.base_batch_size of the config',
    )
    return parser.parse_args()


def main() -> None:
    with ends_with_a_line():
        train(parse_args())


def train(args: argparse.Namespace) -> None:
    cfg = load_run_config(args)
    if args.amp:
        enable_amp(cfg)
    elif type_name(cfg.get('optim_wrapper')) == 'AmpOptimWrapper':
        check_amp_device(
            'optim_wrapper.type="AmpOptimWrapper"', 'Take "OptimWrapper".'
        )
    if args.auto_scale_lr:
        enable_auto_scale_lr(cfg)
    if args.resume is not None:
        resume_from(cfg, args.resume)
    runner = Runner.from_cfg(cfg)
    with closes_logs(runner):
        check_run(runner)
        runner.train()


if __name__ == '__main__':
    main()
