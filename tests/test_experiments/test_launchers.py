import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from mmdskd.experiments import launchers
from mmdskd.experiments.launchers import (
    ForkLauncher,
    Launcher,
    count_cores,
    make_launcher,
)

LAUNCHERS = pytest.mark.parametrize(
    'kind',
    [
        Launcher,
        lambda threads, lock: ForkLauncher(threads, lock, ['fractions']),
    ],
    ids=['subprocess', 'fork'],
)


@pytest.fixture
def script(tmp_path):
    """Write a script, and return the command that runs it."""

    def write(text, *args):
        path = tmp_path / f'script{len(list(tmp_path.glob("*.py")))}.py'
        path.write_text(text)
        return [sys.executable, str(path), *args]

    return write


@pytest.fixture
def lock(tmp_path):
    with open(tmp_path / 'lock', 'w') as file:
        yield file.fileno()


def wait(*processes):
    """Wait for processes, and return their exit codes."""
    while any(process.poll() is None for process in processes):
        time.sleep(0.01)
    return [process.poll() for process in processes]


def wait_for(path):
    end = time.monotonic() + 200  # imports on a busy machine
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


@LAUNCHERS
def test_scripts_run_as_from_the_command_line(kind, script, lock, tmp_path):
    log = tmp_path / 'log'
    log.write_text('before\n')
    command = script(
        'import os, sys\n'
        'assert __name__ == "__main__"\n'
        'print(sys.argv[1:], repr(sys.stdin.read()), flush=True)\n'
        'print(os.environ["OMP_NUM_THREADS"], file=sys.stderr)\n'
        'sys.exit(int(sys.argv[1]))\n',
        *('3', 'a b'),
    )
    with kind(2, lock) as launcher:
        assert wait(launcher.start(command, log)) == [3]
    assert log.read_text() == "before\n['3', 'a b'] ''\n2\n"


@LAUNCHERS
def test_scripts_run_side_by_side(kind, script, lock, tmp_path):
    """Each waits for the other."""
    text = (
        'import sys, time\n'
        'from pathlib import Path\n'
        'mine, other = map(Path, sys.argv[1:])\n'
        'mine.touch()\n'
        'while not other.exists(): time.sleep(0.01)\n'
    )
    files = [str(tmp_path / name) for name in 'ab']
    commands = [script(text, *files), script(text, *files[::-1])]
    with kind(1, lock) as launcher:
        processes = [
            launcher.start(command, tmp_path / f'log{i}')
            for i, command in enumerate(commands)
        ]
        assert wait(*processes) == [0, 0]


@LAUNCHERS
def test_error_of_a_script(kind, script, lock, tmp_path):
    log = tmp_path / 'log'
    command = script('print("so far")\nraise KeyError("nonsense")')
    with kind(1, lock) as launcher:
        assert wait(launcher.start(command, log)) == [1]
    text = log.read_text()
    assert text.startswith('so far\n') or text.endswith('so far\n')
    assert 'Traceback' in text and "KeyError: 'nonsense'" in text


@LAUNCHERS
def test_end_of_a_script(kind, script, lock, tmp_path):
    """What it has registered is called, and its threads are waited for."""
    log = tmp_path / 'log'
    command = script(
        'import atexit, threading, time\n'
        'def wait():\n'
        '    time.sleep(0.1)\n'
        '    print("thread")\n'
        'atexit.register(print, "atexit")\n'
        'threading.Thread(target=wait).start()\n'
        'print("script")\n'
    )
    with kind(1, lock) as launcher:
        assert wait(launcher.start(command, log)) == [0]
    assert log.read_text() == 'script\nthread\natexit\n'


@LAUNCHERS
def test_scripts_end_with_the_launcher(kind, script, lock, tmp_path):
    pid = tmp_path / 'pid'
    command = script(
        'import os, time\n'
        'from pathlib import Path\n'
        f'Path("{pid}.part").write_text(str(os.getpid()))\n'
        f'os.rename("{pid}.part", "{pid}")\n'
        'time.sleep(600)\n'
    )
    with pytest.raises(KeyboardInterrupt), kind(1, lock) as launcher:
        process = launcher.start(command, tmp_path / 'log')
        wait_for(pid)
        assert process.poll() is None
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@LAUNCHERS
@pytest.mark.parametrize('number', ['SIGINT', 'SIGTERM'])
def test_signals_reach_a_script(kind, script, lock, tmp_path, number):
    """They do what they do to any script, also in a fork."""
    command = script(
        'import os, signal, time\n'
        f'os.kill(os.getpid(), signal.{number})\n'
        'time.sleep(600)\n'
    )
    with kind(1, lock) as launcher:
        (code,) = wait(launcher.start(command, tmp_path / 'log'))
    assert code == -getattr(signal, number)


@LAUNCHERS
def test_scripts_keep_the_lock_when_their_parent_is_killed(
    kind, script, lock, tmp_path
):
    go_on = tmp_path / 'go_on'
    command = script(
        'import time\n'
        'from pathlib import Path\n'
        f'Path("{tmp_path}/started").touch()\n'
        f'while not Path("{go_on}").exists(): time.sleep(0.01)\n'
        f'Path("{tmp_path}/done").touch()\n'
    )
    name = 'Launcher' if kind is Launcher else 'ForkLauncher'
    parent = script(
        'import fcntl, os, time\n'
        'from pathlib import Path\n'
        f'from mmdskd.experiments.launchers import {name}\n'
        f'lock = open("{tmp_path}/lock")\n'
        'fcntl.flock(lock, fcntl.LOCK_EX)\n'
        f'{name}(1, lock.fileno()).start({command}, Path("{tmp_path}/log"))\n'
        'time.sleep(600)\n'
    )
    demo = subprocess.Popen(parent)
    wait_for(tmp_path / 'started')
    demo.kill()
    demo.wait()
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    go_on.touch()
    fcntl.flock(lock, fcntl.LOCK_EX)  # once it has ended
    assert (tmp_path / 'done').exists()


def test_fork_has_the_imports_of_the_server(script, lock, tmp_path):
    """Those that can't be imported are left to the script."""
    command = script(
        'import os, sys\n'
        'print("fractions" in sys.modules, "mmengine" in sys.modules)\n'
        'print(len(os.listdir("/proc/self/task")))\n'
    )
    with ForkLauncher(1, lock, ['no.such.module', 'fractions']) as launcher:
        assert wait(launcher.start(command, tmp_path / 'log')) == [0]
    assert (tmp_path / 'log').read_text() == 'True False\n1\n'


def test_killed_server(script, lock, tmp_path):
    with ForkLauncher(1, lock, []) as launcher:
        command = script('import time; time.sleep(0.1)')
        process = launcher.start(command, tmp_path / 'log')
        launcher.server.kill()
        with pytest.raises(
            ChildProcessError,
            match=r'starts the trainings has ended \(exit code -9\)',
        ):
            wait(process)


@pytest.mark.parametrize(
    'platform, device, kind',
    [
        ('linux', 'cpu', ForkLauncher),
        ('linux', 'cuda', Launcher),
        ('darwin', 'cpu', Launcher),
    ],
)
def test_launcher_of_a_machine(monkeypatch, lock, platform, device, kind):
    monkeypatch.setattr(launchers, 'get_device', lambda: device)
    monkeypatch.setattr(launchers.sys, 'platform', platform)
    with make_launcher(1, lock) as launcher:
        assert type(launcher) is kind


def test_count_cores(monkeypatch):
    monkeypatch.setattr(
        os, 'sched_getaffinity', lambda pid: {0, 3, 5}, raising=False
    )
    assert count_cores() == 3
    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert count_cores() == 1
