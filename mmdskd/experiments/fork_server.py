"""Run Python scripts as forks of a process that has imported the stack.

The imports take longer than the training of a tiny network. The server is a
process of its own that does nothing but import, so that a script finds what
it would find in a new process.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Optional

# What a training imports
STACK = (
    'mmdskd.cli',
    'mmdskd.datasets',
    'mmdskd.engine',
    'mmdskd.models',
    'mmengine.runner',
    'mmengine.visualization',
    'mmpretrain.datasets',
    'mmpretrain.engine',
    'mmpretrain.evaluation',
    'mmpretrain.models',
    'mmpretrain.visualization',
    'mmrazor.datasets',
    'mmrazor.engine',
    'mmrazor.models',
    'sklearn.datasets',
)

done = threading.Event()  # in a fork: its script has come to its end


class Server:
    """Starts scripts, and says how they end.

    A line of the standard input asks for a script: ``{"number": 1, "argv":
    ["script.py", ...], "log": "output.txt"}``. A line of the standard output
    says how it ended: ``{"number": 1, "code": 0}``. SIGTERM ends all scripts,
    and the server. At the end of the input, it waits for them.
    """

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}  # of the scripts, by process
        self.rest = b''
        self.is_open = True
        self.is_ending = False

    def serve(self) -> Optional[list[str]]:
        """Serve until the input ends.

        Returns:
            list[str]: In a fork: the script that it is to run, and its
            arguments. None in the server, at its end.
        """
        signal.signal(signal.SIGTERM, self.end)
        while not self.is_ending and (self.is_open or self.numbers):
            inputs = [0] if self.is_open else []
            if select.select(inputs, [], [], 0.05)[0]:
                for line in self.read_lines():
                    request = json.loads(line)
                    pid = fork()
                    if pid == 0:
                        redirect(request['log'])
                        return request['argv']
                    self.numbers[pid] = request['number']
            self.report(os.WNOHANG)
        for pid in self.numbers:
            os.kill(pid, signal.SIGTERM)
        self.report()
        return None

    def end(self, *_: object) -> None:
        """Let the loop end."""
        self.is_ending = True

    def read_lines(self) -> list[bytes]:
        """Read the lines that have come."""
        block = os.read(0, 65536)
        self.is_open = bool(block)
        *lines, self.rest = (self.rest + block).split(b'\n')
        return lines

    def report(self, options: int = 0) -> None:
        """Report the scripts that have ended.

        Args:
            options (int): Of :func:`os.waitpid`. Defaults to 0: wait for all.
        """
        for pid, number in list(self.numbers.items()):
            ended, status = os.waitpid(pid, options)
            if ended:
                del self.numbers[pid]
                answer = dict(
                    number=number, code=os.waitstatus_to_exitcode(status)
                )
                with suppress(BrokenPipeError):  # the parent has been killed
                    os.write(1, json.dumps(answer).encode() + b'\n')


def fork() -> int:
    """Fork a process that is ended by Ctrl-C and SIGTERM as any other."""
    # Until the fork has its own handlers, a signal waits.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    return pid


def redirect(log: str) -> None:
    """Append the output of this process to a file, and give it no input."""
    for path, flags, files in (
        (os.devnull, os.O_RDONLY, (0,)),
        (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, (1, 2)),
    ):
        opened = os.open(path, flags, 0o666)
        for file in files:
            os.dup2(opened, file)
        os.close(opened)


def find_layout_module(config: ModuleType) -> ModuleType:
    """Find the module whose ``FormatCode`` MMEngine calls.

    Args:
        config (ModuleType): ``mmengine.config.config``.

    Returns:
        ModuleType: The same, or that of yapf: MMEngine of OneDL imports
        the function when it needs it.
    """
    if hasattr(config, 'FormatCode'):
        return config
    return import_module('yapf.yapflib.yapf_api')


def lay_out_once(module: ModuleType) -> None:
    """Let MMEngine lay out each config once, not for each checkpoint anew.

    Args:
        module (ModuleType): Output of :func:`find_layout_module`.
    """
    lay_out = module.FormatCode
    known = {}

    def lay_out_or_remember(text: str, **options: object) -> tuple[str, bool]:
        key = text, repr(options)
        if key not in known:
            known[key] = lay_out(text, **options)
        return known[key]

    module.FormatCode = lay_out_or_remember  # type: ignore[attr-defined]


def leave() -> None:
    """Leave a fork that is done without taking all modules apart."""
    if done.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def main(preload: Sequence[str] = STACK) -> None:
    """Import the stack, then serve.

    Args:
        preload (Sequence[str]): The modules to import. One that can't be is
            left to the scripts, whose errors are read. Defaults to ``STACK``.
    """
    # Ctrl-C reaches all processes of a terminal: let the parent decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The first that is registered is the last that is called.
    atexit.register(leave)
    for name in preload:
        with suppress(Exception):
            import_module(name)
    config = sys.modules.get('mmengine.config.config')
    if config is not None:
        lay_out_once(find_layout_module(config))
    # The garbage collector of a fork passes over what is there already.
    gc.collect()
    gc.freeze()
    command = Server().serve()
    if command is not None:
        sys.argv = command
        runpy.run_path(command[0], run_name='__main__')
        done.set()
