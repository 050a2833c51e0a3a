"""Show how far a tool is that works for long."""

import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Callable, Optional, TextIO, TypeVar

Item = TypeVar('Item')


class Progress:
    """Shows what a tool is doing, and for how long it will.

    Nothing is shown in the first seconds. Then a terminal has one line, which
    changes and goes away at the end. Elsewhere, a line comes after each
    ``pause``. It goes to the standard error, so that the output of the tool
    stays as it is.

    The time left follows from the parts that are done: their seconds, by what
    they were expected to take. It is a rough estimate, and left out where
    nothing is known.

    Args:
        name (str): Name of the tool.
        parts (Mapping[str, float]): What it does, in order, and how long each
            part takes in comparison with the others, > 0.
        stream (TextIO, optional): Where to show it. None means the standard
            error. Defaults to None.
        patience (float): Seconds without a word, >= 0. Defaults to 3.
        pause (float): Seconds between two lines where there is no terminal,
            > 0. Defaults to 10.
        clock (Callable): Returns the seconds since some time. Defaults to
            :func:`time.monotonic`.

    Examples:
        >>> from mmdskd.utils.progress import Progress
        >>> with Progress('a tool', {'reading': 1, 'writing': 3}) as progress:
        ...     progress.begin('reading')
        ...     progress.begin('writing')
        ...     progress.count(10, 200)  # of 200 files
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[str, float],
        stream: Optional[TextIO] = None,
        patience: float = 3.0,
        pause: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.parts = dict(parts)
        self.stream = stream or sys.stderr
        self.patience = patience
        self.clock = clock
        self.is_terminal = self.stream.isatty()
        self.pause = 0.5 if self.is_terminal else pause
        self.start = self.began = self.shown_at = clock()
        self.part: Optional[str] = None
        self.done = 0.0  # share of the part
        self.seconds: dict[str, float] = {}
        self._is_line = False
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> 'Progress':
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._end.set()
        self._thread.join()
        self.clear()

    def begin(self, part: str) -> None:
        """Begin a part, and end the one before.

        Args:
            part (str): One of the parts.
        """
        with self._lock:
            now = self.clock()
            if self.part is not None:
                self.seconds[self.part] = now - self.began
            self.part, self.began, self.done = part, now, 0.0

    def count(self, done: int, total: int) -> None:
        """Say how much of the part is done.

        Args:
            done (int): Number of its steps that are done.
            total (int): Number of its steps, > 0.
        """
        with self._lock:
            self.done = done / total

    def follow(self, part: str, items: Collection[Item]) -> Iterator[Item]:
        """Begin a part that works on one item after the other.

        Args:
            part (str): One of the parts.
            items (Collection): The items.

        Yields:
            Any: Each item.
        """
        self.begin(part)
        for i, item in enumerate(items):
            yield item
            self.count(i + 1, len(items))

    def time_left(self) -> Optional[float]:
        """Estimate the time until all parts are done.

        Returns:
            float, optional: Seconds; None if nothing is known, or if a part
            takes longer than was estimated.
        """
        if self.part is None:
            return None
        taken = self.clock() - self.began
        names = list(self.parts)
        later = sum(
            self.parts[name] for name in names[names.index(self.part) + 1 :]
        )
        if self.done:
            whole = taken / self.done
            return whole - taken + later * whole / self.parts[self.part]
        known = sum(self.parts[name] for name in self.seconds)
        if not known:
            return None
        rate = sum(self.seconds.values()) / known
        rest = rate * self.parts[self.part] - taken
        return rest + rate * later if rest > 0 else None

    def show(self) -> None:
        """Show how far the tool is, unless it is too early for that."""
        with self._lock:
            now = self.clock()
            if (
                self.part is None
                or now < self.start + self.patience
                or now < self.shown_at + self.pause
            ):
                return
            self.shown_at = now
            left = self.time_left()
            number = list(self.parts).index(self.part) + 1
            line = (
                f'{self.name}: [{number}/{len(self.parts)}] {self.part}, '
                f'{now - self.start:.0f} s so far'
            )
            if left is not None:
                line += f', about {max(left, 1):.0f} s left'
            if self.is_terminal:
                self.stream.write(f'\r{line}\033[K')
                self._is_line = True
            else:
                self.stream.write(f'{line}\n')
            self.stream.flush()

    def clear(self) -> None:
        """Remove the line from the terminal, as before something else is
        printed."""
        with self._lock:
            if self._is_line:
                self.stream.write('\r\033[K')
                self.stream.flush()
                self._is_line = False

    def _watch(self) -> None:
        """Show it while the tool works."""
        while not self._end.wait(0.5):
            self.show()
