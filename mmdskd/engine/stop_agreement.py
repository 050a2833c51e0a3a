"""Let all processes of a run stop after the same iteration."""

import threading
import time
from typing import Any, Callable

from mmengine.dist import get_rank, get_world_size
from torch.distributed import distributed_c10d

PREFIX = 'mmdskd_stop_'
NO = 'no'
SAVE = 'save'
LEAVE = 'leave'


class StopAlone:
    """Stops a single process.

    Args:
        is_asked (Callable): Whether this process was asked to stop.
    """

    def __init__(self, is_asked: Callable[[], bool]) -> None:
        self.is_asked = is_asked

    def decide(self) -> str:
        """Decide at the end of an iteration.

        Returns:
            str: 'no', or 'save' to save a checkpoint and stop.
        """
        return SAVE if self.is_asked() else NO

    def close(self) -> None:
        """End."""


class StopTogether:
    """Stops all processes after the same iteration, whichever was asked.

    A thread of each process looks into the store that all share, a few times
    a second; an iteration costs nothing. Once a process was asked, all of
    them say which iteration they are in, and wait at its end; rank 0 lets
    them stop after the furthest one. So none waits for a gradient of one
    that has stopped.

    Args:
        is_asked (Callable): Whether this process was asked to stop.
        store (Store): The store of the process group.
        rank (int): Rank of this process.
        world_size (int): Number of processes.
        interval (float): Seconds between two looks, > 0. Defaults to 0.2.
        patience (float): Seconds to wait for the others, > 0. Defaults to
            20.
    """

    def __init__(
        self,
        is_asked: Callable[[], bool],
        store: Any,
        rank: int,
        world_size: int,
        interval: float = 0.2,
        patience: float = 20.0,
    ) -> None:
        self.is_asked = is_asked
        self.store = store
        self.rank = rank
        self.world_size = world_size
        self.interval = interval
        self.patience = patience
        self.lock = threading.Lock()
        self.passed = 0
        self.is_seen = False
        self.stop_at = -1
        self.known = threading.Event()
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def decide(self) -> str:
        """Decide at the end of an iteration.

        Returns:
            str: 'no', 'save' to save a checkpoint together and stop, or
            'leave' to stop without, as a process does not answer.
        """
        with self.lock:
            self.passed += 1
            if not self.is_seen:
                return NO
        if not self.known.wait(2 * self.patience) or self.stop_at < 0:
            return LEAVE
        return SAVE if self.passed >= self.stop_at else NO

    def close(self) -> None:
        """End the thread."""
        self.closed.set()
        self.thread.join(2 * self.interval + 1)

    def _watch(self) -> None:
        """Wait until a process was asked, and agree."""
        has_asked = False
        try:
            while not self._count('asked'):
                if self.closed.wait(self.interval):
                    return
                if self.is_asked() and not has_asked:
                    has_asked = True
                    self._count('asked', 1)
            with self.lock:
                self.is_seen = True
                end = self.passed + 1
            self.store.set(f'{PREFIX}end_{self.rank}', str(end))
            self._count('answers', 1)
            if self.rank == 0:
                self.store.set(f'{PREFIX}stop_at', str(self._agree()))
                self._count('agreed', 1)
            if self._wait('agreed', 1, 1.5 * self.patience):
                self.stop_at = int(self.store.get(f'{PREFIX}stop_at'))
        # The store goes with the process that holds it.
        except (RuntimeError, ValueError):
            self.is_seen = self.is_asked()
        finally:
            self.known.set()

    def _agree(self) -> int:
        """Find the iteration in which the furthest process is, or -1."""
        if not self._wait('answers', self.world_size, self.patience):
            return -1
        return max(
            int(self.store.get(f'{PREFIX}end_{rank}'))
            for rank in range(self.world_size)
        )

    def _wait(self, name: str, number: int, seconds: float) -> bool:
        """Wait until a count is reached."""
        deadline = time.monotonic() + seconds
        while self._count(name) < number:
            if time.monotonic() > deadline:
                return False
            time.sleep(self.interval / 4)
        return True

    def _count(self, name: str, more: int = 0) -> int:
        """Read a count of the store without waiting for it."""
        return self.store.add(PREFIX + name, more)


def make_stop(is_asked: Callable[[], bool]) -> Any:
    """Make what lets this run stop.

    Args:
        is_asked (Callable): Whether this process was asked to stop.

    Returns:
        StopAlone or StopTogether: It decides at the end of an iteration.
    """
    if get_world_size() == 1:
        return StopAlone(is_asked)
    store = distributed_c10d._get_default_store()
    return StopTogether(is_asked, store, get_rank(), get_world_size())
