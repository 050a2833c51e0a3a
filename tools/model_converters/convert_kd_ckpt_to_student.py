"""Take the plain student out of a distillation checkpoint.

With --exits it keeps the heads of DSKD, and stops at the first of them that is
sure enough.
"""

import argparse
import os.path as osp
import sys

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.export import multi_exit
from mmdskd.export.student_check import (
    StudentMismatchError,
    check_against_run,
    check_unchanged_names,
)
from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import (
    CONFIG_NAME,
    extract_student,
    student_path,
)
from mmdskd.pairing.auto import resolve_auto
from mmdskd.utils.arguments import add_force
from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file
from mmdskd.utils.config import check_has, load_config
from mmdskd.utils.files import (
    check_new_file,
    save_checkpoint_atomically,
    save_config_atomically,
)
from mmdskd.utils.text import describe_error


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'checkpoint', help='checkpoint of an algorithm, such as epoch_10.pth'
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        '--out-path',
        help='folder or .pth file of the student; by default '
        '<name of the checkpoint>_student.pth beside the checkpoint',
    )
    where.add_argument(
        '--inplace',
        action='store_true',
        help='replace the checkpoint by the student; teacher, optimizer and '
        'all else in it are lost',
    )
    parser.add_argument(
        '--config',
        help='config of the run, best the one in its work_dir: '
        f'{CONFIG_NAME} is written beside the student',
    )
    exits = parser.add_argument_group('exits')
    exits.add_argument(
        '--exits',
        action='store_true',
        help='keep the heads as exits: <name of the checkpoint>_multi_exit.pth'
        f' and {multi_exit.CONFIG_NAME}; needs --config',
    )
    exits.add_argument(
        '--threshold',
        type=float,
        nargs='+',
        help='confidence in [0, 1] above which an image leaves, for all exits '
        'or one per exit (default: 0.9); '
        'tools/analysis_tools/exit_curve.py tells what it brings',
    )
    exits.add_argument(
        '--loss', help='DSKD loss whose heads are kept, if there are several'
    )
    add_force(parser)
    args = parser.parse_args()
    if args.exits and (args.inplace or args.config is None):
        parser.error(
            '--exits should come with --config and without '
            '--inplace: the config tells where the heads are'
        )
    if not args.exits and (args.threshold or args.loss):
        parser.error(
            '--threshold and --loss should come with --exits, which '
            'keeps the heads'
        )
    return args


def find_destination(args: argparse.Namespace) -> str:
    """Find where the student goes.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Returns:
        str: Path of a file.

    Raises:
        ValueError: If it is the checkpoint itself, without ``--inplace``.
        OSError: If its folder is missing, if it is there without
            ``--force``, or if it can't be written.
    """
    if args.inplace:
        check_new_file(args.checkpoint, True, 'CHECKPOINT')
        return args.checkpoint
    name = multi_exit.multi_exit_path if args.exits else student_path
    default = name(args.checkpoint)
    path = args.out_path or default
    if not path.endswith('.pth'):
        path = osp.join(path, osp.basename(default))
    folder = osp.dirname(path) or '.'
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'--out-path should be in a folder that exists, but there is no '
            f'{folder!r}.'
        )
    if osp.realpath(path) == osp.realpath(args.checkpoint):
        raise ValueError(
            f'--out-path should not be the checkpoint itself, {path!r}. To '
            'replace it, say --inplace.'
        )
    check_new_file(path, args.force, '--out-path')
    return path


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments say.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    path = find_destination(args)
    cfg = run = None
    if args.config is not None:
        run = load_config(args.config)
        check_has(run, args.config, 'model')
    checkpoint = load_checkpoint_file(args.checkpoint)
    if args.exits:
        resolve_auto(run)
        exits = multi_exit.find_exits(run, args.loss)
        threshold = args.threshold or [0.9]
        cfg = multi_exit.make_multi_exit_config(
            run, exits, threshold[0] if len(threshold) == 1 else threshold
        )
        student = multi_exit.extract_multi_exit(checkpoint, exits, cfg)
    else:
        if run is not None:
            cfg = make_student_config(run)
        student = extract_student(checkpoint, cfg)
    try:
        if run is None:
            check_unchanged_names(checkpoint)
            comparison = 'not built: give the --config of the run for that'
        else:
            comparison = check_against_run(student, cfg, run)
    except StudentMismatchError as error:
        if osp.exists(path) and not args.inplace:
            error.args = (f'{error} {path} was there before: it is another.',)
        raise
    cfg_path = osp.join(
        osp.dirname(path),
        multi_exit.CONFIG_NAME if args.exits else CONFIG_NAME,
    )
    if cfg is not None:
        check_new_file(cfg_path, args.force, '--out-path', cfg.pretty_text)
    save_checkpoint_atomically(student, path)
    print(
        f'{path}: {len(student["state_dict"])} of the '
        f'{len(checkpoint["state_dict"])} tensors in {args.checkpoint}'
    )
    print(f'compared with the checkpoint: {comparison}')
    if cfg is not None:
        save_config_atomically(cfg, cfg_path)
        print(f'{cfg_path}: the config of this student')


def main() -> None:
    args = parse_args()
    try:
        convert(args)
    except (CheckpointError, OSError, TypeError, ValueError) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
