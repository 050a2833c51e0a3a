"""Start trainings, and end them with whoever started them."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional, Protocol

from mmengine.device import get_device

from .fork_server import STACK


class Process(Protocol):
    """A script that has been started."""

    def poll(self) -> Optional[int]:
        """Get its exit code, None as long as it runs."""


class Launcher:
    """Starts Python scripts in processes of their own.

    It is a context, at whose end all that still run are ended.

    Args:
        threads (int): Number of threads that compute in each script, > 0.
        lock (int): File descriptor that they keep open.
    """

    def __init__(self, threads: int, lock: int) -> None:
        self.threads = threads
        self.env = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.lock = lock
        self.processes: list[subprocess.Popen] = []

    def __enter__(self) -> 'Launcher':
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        running = [one for one in self.processes if one.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            process.wait()

    def start(self, command: Sequence[str], log: Path) -> Process:
        """Start a script.

        Args:
            command (Sequence[str]): Python, the script, and its arguments.
            log (Path): File to which its output is appended.

        Returns:
            Process: The process.
        """
        with open(log, 'a') as file:
            process = subprocess.Popen(
                command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=[self.lock],
            )
        self.processes.append(process)
        return process


class Fork:
    """A script that runs in a fork of the server.

    Args:
        launcher (ForkLauncher): Who has started it.
        number (int): Its number.
    """

    def __init__(self, launcher: 'ForkLauncher', number: int) -> None:
        self.launcher = launcher
        self.number = number

    def poll(self) -> Optional[int]:
        """Get its exit code, None as long as it runs."""
        return self.launcher.read_codes().get(self.number)


class ForkLauncher(Launcher):
    """Starts Python scripts as forks of a server, see :mod:`.fork_server`.

    Args:
        threads (int): See :class:`Launcher`.
        lock (int): See :class:`Launcher`.
        preload (Sequence[str]): Modules that the server imports. Defaults to
            what a training needs.
    """

    def __init__(
        self, threads: int, lock: int, preload: Sequence[str] = STACK
    ) -> None:
        super().__init__(threads, lock)
        # It finds the modules that this process finds.
        code = (
            f'import sys; sys.path[:] = {sys.path!r}; '
            'from mmdskd.experiments.fork_server import main; '
            f'main({tuple(preload)!r})'
        )
        self.server = subprocess.Popen(
            [sys.executable, '-c', code],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # select() knows nothing of a buffer
            pass_fds=[lock],
        )
        self.processes.append(self.server)
        self.codes: dict[int, int] = {}
        self.started = 0

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        super().__exit__(kind, error, traceback)
        assert self.server.stdin and self.server.stdout
        self.server.stdin.close()
        self.server.stdout.close()

    def start(self, command: Sequence[str], log: Path) -> Process:
        """Start a script, see :meth:`Launcher.start`."""
        self.started += 1
        request = dict(
            number=self.started, argv=list(command[1:]), log=str(log)
        )
        assert self.server.stdin
        self.server.stdin.write(json.dumps(request).encode() + b'\n')
        return Fork(self, self.started)

    def read_codes(self) -> dict[int, int]:
        """Read the exit codes that have come, by number.

        Raises:
            ChildProcessError: If the server has been killed.
        """
        pipe = self.server.stdout
        assert pipe
        while select.select([pipe], [], [], 0)[0]:
            line = pipe.readline()
            if not line:
                raise ChildProcessError(
                    'The process that starts the trainings has ended (exit '
                    f'code {self.server.wait()}). Was it killed for memory?'
                )
            answer = json.loads(line)
            self.codes[answer['number']] = answer['code']
        return self.codes


def make_launcher(threads: int, lock: int) -> Launcher:
    """Make the launcher that suits this machine.

    Args:
        threads (int): See :class:`Launcher`.
        lock (int): See :class:`Launcher`.

    Returns:
        Launcher: The launcher. It doesn't fork beside a GPU, as CUDA can't be
        used in a fork, nor where system libraries don't allow it.
    """
    if sys.platform == 'linux' and get_device() == 'cpu':
        return ForkLauncher(threads, lock)
    return Launcher(threads, lock)


def count_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
