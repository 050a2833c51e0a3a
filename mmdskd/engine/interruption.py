"""Ctrl-C, SIGTERM and full disks: end with a line that says how to go on."""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Optional

from .latest_checkpoint import find_latest_checkpoint

#: Seconds after SIGTERM in which a run must come to the end of an iteration.
GRACE = 60.0
NAMES = {signal.SIGINT: 'Ctrl-C', signal.SIGTERM: 'SIGTERM'}
SIGTERM_CODE = 128 + signal.SIGTERM
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Interruption:
    """What has asked this process to end, and what it leaves.

    Attributes:
        received (int, optional): The first signal that has come.
        is_awaited (bool): Whether somebody looks for SIGTERM between
            iterations. Otherwise it ends the process at once.
        is_ending (bool): Whether what SIGTERM asks for is being done.
        folders (tuple, optional): ``work_dir``, the folder of checkpoints and
            the template of their names, once they are known.
        saved (str, optional): The checkpoint that was saved at the end.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.handlers: dict[int, Any] = {}
        self.timer: Optional[threading.Timer] = None
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        self.cancel()  # nobody looks for SIGTERM
        self.received: Optional[int] = None
        self.is_ending = False
        self.folders: Optional[tuple[str, str, str]] = None
        self.saved: Optional[str] = None

    def cancel(self) -> None:
        """Let a process that goes on live, as its run has ended."""
        self.is_awaited = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def begin_run(self) -> None:
        """Look for SIGTERM from now on, that of a run before aside."""
        if self.is_ending:
            self.received, self.saved, self.is_ending = None, None, False
        self.install()
        self.is_awaited = True

    def install(self) -> None:
        """Handle Ctrl-C and SIGTERM, unless somebody else does."""
        if threading.current_thread() is not threading.main_thread():
            return
        self.process = os.getpid()
        for number, default in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) == default:
                self.handlers[number] = default
                signal.signal(number, self.handle)

    def uninstall(self) -> None:
        """Let others handle the signals again."""
        while self.handlers:
            signal.signal(*self.handlers.popitem())

    def handle(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        if os.getpid() != self.process:  # a fork
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        is_first = self.received is None
        if is_first:
            self.received = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.is_ending:
            return  # launchers send it more than once
        if not self.is_awaited:
            raise SystemExit(SIGTERM_CODE)
        if is_first:
            self.timer = threading.Timer(GRACE, self.give_up)
            self.timer.daemon = True
            self.timer.start()

    def check(self) -> None:
        """Raise Ctrl-C again if somebody has swallowed it."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt

    @property
    def is_asked_to_stop(self) -> bool:
        """bool: Whether SIGTERM has come."""
        return self.received == signal.SIGTERM

    def give_up(self) -> None:
        """End a process that does not come to the end of an iteration."""
        if self.is_awaited and not self.is_ending:
            say(
                f'SIGTERM, and the iteration or validation has not ended in '
                f'{GRACE:.0f} s. {self.describe()}'
            )
            os._exit(SIGTERM_CODE)

    def describe(self) -> str:
        """Say what is kept, and how to go on."""
        if self.saved is not None:
            kept = f'{self.saved} holds all of it.'
        elif self.folders is None:
            return 'Nothing was trained: run the same command again.'
        else:
            latest = find_latest_checkpoint(*self.folders).path
            if latest is None:
                return (
                    'There is no checkpoint yet: run the same command again.'
                )
            kept = f'The newest checkpoint is {latest}.'
        return f'{kept} To go on, run the same command with --resume.'


interruption = Interruption()


def say(line: str) -> None:
    """Print a line, on the first process of a run only."""
    rank = os.environ.get('RANK') or os.environ.get('SLURM_PROCID') or '0'
    if rank == '0':
        print(f'\n{line}', file=sys.stderr, flush=True)


@contextmanager
def ends_with_a_line() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM or a full disk end a tool with one line.

    Raises:
        SystemExit: With the code of the signal, 130 or 143, or 1 if the disk
            is full.
    """
    interruption.reset()
    interruption.install()
    try:
        yield
    # Somebody may have made another error of it, as MMEngine's Config does.
    except BaseException as error:
        if interruption.received is not None:
            _end(interruption.received, error)
        if isinstance(error, OSError) and error.errno in FULL:
            path = find_written_file(error)
            say(
                f'{error.strerror}: {path or "a file"} could not be written. '
                'What was saved before is intact. '
                f'{interruption.describe()} Free some space first, or name '
                'another folder by --work-dir.'
            )
            raise SystemExit(1) from error
        raise
    finally:
        # Nothing of it concerns the next run of this process.
        interruption.reset()
        interruption.uninstall()


def _end(number: int, error: BaseException) -> NoReturn:
    """Say by what the run was stopped, and end."""
    reason = ''
    if not isinstance(error, (KeyboardInterrupt, SystemExit, SyntaxError)):
        first = (str(error).splitlines() or [''])[0]
        reason = f' ({type(error).__name__}: {first})'
    say(
        f'Stopped by {NAMES[signal.Signals(number)]}{reason}. '
        f'{interruption.describe()}'
    )
    raise SystemExit(128 + number) from None


def find_written_file(error: OSError) -> Optional[str]:
    """Find the file that could not be written.

    Writing to a file that is open does not say which one it is, so it is
    looked up among the variables of the functions that wrote.

    Args:
        error (OSError): The error, as it was caught.

    Returns:
        str: The path, None if nobody knows.
    """
    if error.filename is not None:
        return str(error.filename)
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in reversed(frames):
        for value in frame.f_locals.values():
            name = getattr(value, 'name', None)
            if isinstance(value, io.IOBase) and isinstance(name, str):
                return os.path.abspath(name)
    return None
