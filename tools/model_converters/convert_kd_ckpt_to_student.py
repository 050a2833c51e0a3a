"""Take the plain student out of a distillation checkpoint."""
import argparse
import os.path as osp
import sys

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)

from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file
from mmdskd.utils.cli import load_config
from mmdskd.utils.student import (CONFIG_NAME, extract_student,
                                  make_student_config,
                                  save_checkpoint_atomically,
                                  save_config_atomically, student_path)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'checkpoint', help='checkpoint of an algorithm, such as epoch_10.pth')
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        '--out-path',
        help='folder or .pth file of the student; by default '
        '<name of the checkpoint>_student.pth beside the checkpoint')
    where.add_argument(
        '--inplace',
        action='store_true',
        help='replace the checkpoint by the student; teacher, optimizer and '
        'all else in it are lost')
    parser.add_argument(
        '--config',
        help='config of the run, best the one in its work_dir: '
        f'{CONFIG_NAME} is written beside the student')
    return parser.parse_args()


def find_destination(args: argparse.Namespace) -> str:
    """Find where the student goes.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Returns:
        str: Path of a file.

    Raises:
        ValueError: If it is the checkpoint itself, without ``--inplace``.
        FileNotFoundError: If its folder is missing.
    """
    if args.inplace:
        return args.checkpoint
    path = args.out_path or student_path(args.checkpoint)
    if not path.endswith('.pth'):
        path = osp.join(path, osp.basename(student_path(args.checkpoint)))
    folder = osp.dirname(path) or '.'
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'--out-path should be in a folder that exists, but there is no '
            f'{folder!r}.')
    if osp.realpath(path) == osp.realpath(args.checkpoint):
        raise ValueError(
            f'--out-path should not be the checkpoint itself, {path!r}. To '
            'replace it, say --inplace.')
    return path


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments say.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    path = find_destination(args)
    checkpoint = load_checkpoint_file(args.checkpoint)
    cfg = None
    if args.config is not None:
        cfg = make_student_config(load_config(args.config))
    student = extract_student(checkpoint, cfg)
    save_checkpoint_atomically(student, path)
    print(f'{path}: {len(student["state_dict"])} of the '
          f'{len(checkpoint["state_dict"])} tensors in {args.checkpoint}')
    if cfg is not None:
        cfg_path = osp.join(osp.dirname(path), CONFIG_NAME)
        save_config_atomically(cfg, cfg_path)
        print(f'{cfg_path}: the config of this student')


def main() -> None:
    args = parse_args()
    try:
        convert(args)
    except (CheckpointError, OSError, TypeError, ValueError) as error:
        sys.exit(f'{type(error).__name__}: {error}')


if __name__ == '__main__':
    main()
