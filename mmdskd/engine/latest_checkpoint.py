"""Find the checkpoint from which a run goes on."""

import os
import os.path as osp
import time
import zipfile
from glob import escape, glob
from typing import NamedTuple, Optional

from mmdskd.utils.checkpoint import CheckpointError, load_checkpoint_file

#: Name in a checkpoint: what an exact resume needs.
EXACT_KEY = 'exact_resume'
#: What a run saves that is asked to stop.
INTERRUPTED = 'interrupted.pth'
PATTERNS = ('epoch_*.pth', 'iter_*.pth', INTERRUPTED)


class Latest(NamedTuple):
    """What was found.

    Attributes:
        path (str, optional): The newest whole checkpoint, if there is one.
        skipped (list[str]): What was skipped, and why, a line for each.
    """

    path: Optional[str]
    skipped: list[str]


def find_latest_checkpoint(
    work_dir: str, out_dir: Optional[str] = None, template: str = ''
) -> Latest:
    """Find the newest whole checkpoint of a run.

    The files themselves count. The file ``last_checkpoint`` names one more
    to look at; it may be empty, outdated, or speak of a folder that moved.

    Args:
        work_dir (str): Folder of the run.
        out_dir (str, optional): Where its checkpoints are. Defaults to None,
            for ``work_dir``.
        template (str): Their names, with ``{}`` for the number. Defaults to
            those of MMEngine.

    Returns:
        Latest: The checkpoint, and what was skipped.
    """
    out_dir = out_dir or work_dir
    pointed, skipped = _read_pointer(work_dir, out_dir)
    if pointed is not None and ('://' in pointed or osp.isdir(pointed)):
        return Latest(pointed, skipped)  # can't be looked into
    patterns = {*PATTERNS, template.replace('{}', '*') or PATTERNS[0]}
    paths = {
        path
        for pattern in patterns
        for path in glob(osp.join(escape(out_dir), pattern))
        if osp.isfile(path) and not path.endswith('_student.pth')
    }
    if pointed is not None:
        paths.add(pointed)
    ages = {}
    for path in sorted(paths):
        try:
            age = _read_age(path)
        except CheckpointError as error:
            skipped.append(f'{path} is skipped: {error}')
        else:
            if age is not None:
                ages[path] = age
    for path in sorted(ages, key=lambda path: ages[path], reverse=True):
        damaged = _find_damage(path)
        if damaged is None:
            return Latest(path, skipped)
        skipped.append(f'{path} is skipped: {damaged}')
    return Latest(None, skipped)


def _read_pointer(
    work_dir: str, out_dir: str
) -> tuple[Optional[str], list[str]]:
    """Read ``last_checkpoint``.

    Returns:
        tuple: The checkpoint that it names, if there is one, and what is
        wrong with it.
    """
    pointer = osp.join(work_dir, 'last_checkpoint')
    if not osp.isfile(pointer):
        return None, []
    with open(pointer, 'rb') as file:
        path = file.read(4096).decode(errors='replace').strip()
    if '://' in path:
        return path, []
    if not path or not path.isprintable():
        return None, [f'{pointer} is skipped: it holds no path']
    # The folder may have moved, and where it was may be another one.
    moved = osp.join(out_dir, osp.basename(path.replace('\\', '/')))
    for place in (moved, path):
        if osp.exists(place):
            return place, []
    return None, [f'{pointer} is skipped: there is no {path}']


def _read_age(path: str) -> Optional[tuple[float, int]]:
    """Read when a checkpoint was saved.

    Returns:
        tuple[float, int]: Seconds and iterations, to compare. None if it holds
        no run to go on with, as the best one and a student.

    Raises:
        CheckpointError: If the file can't be read.
    """
    outline = load_checkpoint_file(path, mmap=True)
    if not {'meta', 'optimizer', 'message_hub'} <= outline.keys():
        return None
    meta = outline['meta']
    exact = outline.get(EXACT_KEY) or {}
    saved_at = exact.get('saved_at')
    if saved_at is None:
        try:
            saved = time.strptime(meta['time'], '%Y%m%d_%H%M%S')
            saved_at = time.mktime(saved)
        except (KeyError, TypeError, ValueError):
            saved_at = os.stat(path).st_mtime
    return saved_at, meta.get('iter', 0)


def _find_damage(path: str) -> Optional[str]:
    """Read a checkpoint by its checksums.

    Returns:
        str: What is damaged, None if nothing is.
    """
    if not zipfile.is_zipfile(path):
        return None  # of torch < 1.6, and readable
    try:
        with zipfile.ZipFile(path) as archive:
            name = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return f'it cannot be read ({error})'
    return name and f'it is damaged ({name})'
