"""The files of a run: what a kill has left, and what belongs to others."""

import os
import os.path as osp
import re
import shutil
import time
from contextlib import suppress
from typing import Any, Optional

from mmdskd.compat.mmengine_checkpoints import OUTDATED_KEY
from mmdskd.export.student_weights import student_path
from mmdskd.utils.files import write_atomically

#: Name in the message hub: checkpoints whose students are deleted with them.
DELETABLE_KEY = 'student_deletable_ckpts'
TEMPORARY = re.compile(r'\..+\.(\d+)\.tmp')
# Seconds after which a temporary file is left over, whoever has written it.
ABANDONED = 24 * 3600.0


def get_out_dir(out_dir: Optional[str], work_dir: str) -> str:
    """Find where a run saves its checkpoints.

    Args:
        out_dir (str, optional): ``out_dir`` of its ``CheckpointHook``, as the
            config says.
        work_dir (str): Its ``work_dir``, an absolute path.

    Returns:
        str: The folder, as ``CheckpointHook.before_train`` finds it.
    """
    if out_dir is None or out_dir == work_dir:
        return work_dir
    name = osp.basename(work_dir.rstrip(osp.sep))
    return f'{out_dir}/{name}' if '://' in out_dir else osp.join(out_dir, name)


def remove_temporary_files(folder: str) -> list[str]:
    """Remove what writers that were killed have left.

    Args:
        folder (str): Where :func:`~mmdskd.utils.files.write_atomically` has
            written.

    Returns:
        list[str]: The names of the files.
    """
    removed = []
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            found = TEMPORARY.fullmatch(entry.name)
            if found and entry.is_file() and _is_left(entry, int(found[1])):
                with suppress(OSError):
                    os.remove(entry.path)
                    removed.append(entry.name)
    return removed


def _is_left(entry: os.DirEntry, process: int) -> bool:
    """Whether nobody writes a temporary file any more."""
    if process == os.getpid():  # a number is used again
        return True
    if entry.stat().st_mtime < time.time() - ABANDONED:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def adopt_files(
    info: dict[str, Any], out_dir: str, resumed: str, is_main: bool
) -> list[str]:
    """Let a resumed run know the files in its own folder only.

    A checkpoint holds the paths of others, which MMEngine deletes once they
    are outdated. They may have moved with it, or may be those of another
    run, from whose checkpoint this one goes on. Then the best checkpoint is
    copied, and all others are left alone.

    Args:
        info (dict): ``runtime_info`` of the message hub, changed in place.
        out_dir (str): Where this run saves its checkpoints.
        resumed (str): Path or URL of the checkpoint.
        is_main (bool): Whether this is the process that writes files.

    Returns:
        list[str]: What the user should know.
    """
    if '://' in out_dir:
        return []
    notes = []
    is_here = is_own(resumed, out_dir)
    if not is_here:
        # They name and number files of the other folder.
        for key in ('last_ckpt', 'keep_ckpt_ids', DELETABLE_KEY, OUTDATED_KEY):
            info.pop(key, None)
    if 'last_ckpt' in info:
        info['last_ckpt'] = _move(info['last_ckpt'], out_dir)
    for key in (DELETABLE_KEY, OUTDATED_KEY):
        if key in info:
            info[key] = [_move(path, out_dir) for path in info[key]]
    for key in [key for key in info if key.startswith('best_ckpt')]:
        own = _move(info[key], out_dir)
        source = find_file(info[key], osp.dirname(resumed))
        if is_here and osp.isfile(own):
            source = own
        if source is None:
            del info[key]
            # The best one from here on is kept.
            info.pop(key.replace('best_ckpt', 'best_score', 1), None)
            notes.append(
                f'The best checkpoint so far, {osp.basename(own)}, is '
                'missing; the best one from here on is kept.'
            )
            continue
        info[key] = own
        if osp.realpath(source) != osp.realpath(own):
            notes.append(f'{source}, the best so far, is copied to {out_dir}.')
            if is_main:
                _copy(source, own)
                _copy(student_path(source), student_path(own))
    return notes


def is_own(path: str, out_dir: str) -> bool:
    """Whether a file lies in a folder.

    Args:
        path (str): A path, or a URL.
        out_dir (str): The folder.

    Returns:
        bool: Whether it does, whatever links lead there.
    """
    return osp.realpath(osp.dirname(path)) == osp.realpath(out_dir)


def name_last_checkpoint(work_dir: str, path: str) -> None:
    """Write ``last_checkpoint``, as ``CheckpointHook`` does.

    Args:
        work_dir (str): Folder of the run.
        path (str): The checkpoint.
    """
    content = osp.abspath(path).encode()
    write_atomically(
        osp.join(work_dir, 'last_checkpoint'), lambda file: file.write(content)
    )


def find_file(path: str, folder: str) -> Optional[str]:
    """Find a file that may have moved to another folder.

    Args:
        path (str): Where it was.
        folder (str): The other folder, the first to be looked at.

    Returns:
        str: Where it is, None if it is at neither place.
    """
    for place in (_move(path, folder), path):
        if osp.isfile(place):
            return place
    return None


def _move(path: str, folder: str) -> str:
    return osp.join(folder, osp.basename(path))


def _copy(source: str, target: str) -> None:
    """Copy a file, if it is there."""
    if osp.isfile(source):
        with open(source, 'rb') as opened:
            write_atomically(
                target, lambda file: shutil.copyfileobj(opened, file)
            )


def remove_outdated_files(
    info: dict[str, Any], out_dir: str, saved_at: float
) -> None:
    """Delete what a killed run was about to delete.

    Args:
        info (dict): ``runtime_info`` of the message hub, after
            :func:`adopt_files`.
        out_dir (str): Where this run saves its checkpoints.
        saved_at (float): When the checkpoint was saved, in seconds. Files
            that are newer stay.
    """
    current = {info.get('last_ckpt')} | {
        value for key, value in info.items() if key.startswith('best_ckpt')
    }
    for path in info.pop(OUTDATED_KEY, ()):
        path = _move(path, out_dir)
        with suppress(OSError):
            if path not in current and os.stat(path).st_mtime <= saved_at:
                os.remove(path)
