"""Find the config and the checkpoint that a finished run has left."""

import os.path as osp
import re
from glob import escape, glob
from typing import NamedTuple, Optional

from .multi_exit import CONFIG_NAME as MULTI_EXIT_CONFIG
from .student_weights import CONFIG_NAME as STUDENT_CONFIG
from .student_weights import student_path

# Made of checkpoints, so they are not those of the run itself.
DERIVED = ('_student.pth', '_multi_exit.pth')
NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


class RunFiles(NamedTuple):
    """What a student is made of.

    Attributes:
        config (str): Path of a config, or ``package::path``.
        checkpoint (str): Path of a checkpoint.
    """

    config: str
    checkpoint: str


def find_run_files(
    run: str, checkpoint: Optional[str] = None, exits: bool = False
) -> RunFiles:
    """Find the files of the student of a run.

    In a folder, the best checkpoint serves, else the last one, and the plain
    student beside it with its config, where a run has written them.

    Args:
        run (str): The ``work_dir`` of a run, or a config.
        checkpoint (str, optional): A checkpoint. Needed with a config; with a
            folder it may be the name of a file in it. Defaults to None, for
            the best one of the folder.
        exits (bool): Whether the heads of the run are needed, which the plain
            student no longer has. Defaults to False.

    Returns:
        RunFiles: Its config and its checkpoint.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds no
            checkpoint, or no config.
        ValueError: If there are several to choose from, or a config comes
            without a checkpoint.
    """
    if not osp.isdir(run):
        if checkpoint is None and not osp.exists(run) and '::' not in run:
            raise FileNotFoundError(
                f'RUN should be the work_dir of a run, but there is no {run!r}'
            )
        if checkpoint is None:
            raise ValueError(
                'RUN should be the work_dir of a run, or a config that is '
                f'followed by CHECKPOINT, but got {run!r} alone'
            )
        return RunFiles(run, checkpoint)
    if checkpoint is None:
        checkpoint = _find_checkpoint(run)
        student = student_path(checkpoint)
        if not exits and osp.isfile(student):
            checkpoint = student
    elif not osp.isfile(checkpoint):
        checkpoint = osp.join(run, checkpoint)
    for suffix, name in zip(DERIVED, (STUDENT_CONFIG, MULTI_EXIT_CONFIG)):
        own = osp.join(osp.dirname(checkpoint), name)
        if checkpoint.endswith(suffix) and osp.isfile(own):
            return RunFiles(own, checkpoint)
    return RunFiles(_find_config(run), checkpoint)


def _find_checkpoint(run: str) -> str:
    """Find the best checkpoint in a folder, else the last one."""
    paths = sorted(glob(osp.join(escape(run), '*.pth')))
    own = [path for path in paths if not path.endswith(DERIVED)]
    # Someone may have kept the students alone.
    for candidates in (own, paths):
        best = [p for p in candidates if osp.basename(p).startswith('best_')]
        if len(best) > 1:
            raise ValueError(
                f'{run} should hold one best checkpoint, but holds '
                f'{_names(best)}: name one as CHECKPOINT'
            )
        if best:
            return best[0]
        numbered = {
            int(found[1]): path
            for path in candidates
            if (found := NUMBERED.fullmatch(source_name(path)))
        }
        if numbered:
            return numbered[max(numbered)]
    raise FileNotFoundError(
        f'{run} should be the work_dir of a run, with best_*.pth, epoch_*.pth '
        f'or iter_*.pth, but holds {_names(paths) or "no checkpoint"}'
    )


def source_name(path: str) -> str:
    """Name the checkpoint that a file was made of, without its folder.

    Args:
        path (str): A checkpoint, or the student or multi-exit student of one.

    Returns:
        str: Its name.
    """
    name = osp.basename(path)
    for suffix in DERIVED:
        if name.endswith(suffix):
            return f'{name[: -len(suffix)]}.pth'
    return name


def _find_config(run: str) -> str:
    """Find the config that a run has written into its folder."""
    paths = [
        path
        for path in sorted(glob(osp.join(escape(run), '*.py')))
        if osp.basename(path) not in (STUDENT_CONFIG, MULTI_EXIT_CONFIG)
    ]
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise ValueError(
            f'{run} should hold the config of one run, but holds '
            f'{_names(paths)}: give CONFIG CHECKPOINT'
        )
    raise FileNotFoundError(
        f'{run} should hold the config of its run, as MMEngine writes it, '
        'but holds none: give CONFIG CHECKPOINT'
    )


def _names(paths: list[str]) -> str:
    """Name files without their folder."""
    return ', '.join(map(osp.basename, paths))
