"""Let one demo at a time work in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(work_dir: Path) -> Iterator[int]:
    """Wait until no other demo works in a folder, and keep others out.

    Args:
        work_dir (Path): The folder.

    Yields:
        int: The file descriptor of the lock. A child that inherits it keeps
        the lock, so that a training that has outlived its demo is not
        started a second time.
    """
    with open(work_dir / 'demo.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f'Another demo, or a training of one, works in {work_dir}: '
                'waiting for it to end.'
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
