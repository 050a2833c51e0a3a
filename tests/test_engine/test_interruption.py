"""Signals that end a run, and the process that goes on afterwards."""

import os
import signal
import threading

import pytest

from mmdskd.engine.interruption import (
    Interruption,
    ends_with_a_line,
    interruption,
)


@pytest.fixture
def one():
    found = Interruption()
    yield found
    found.reset()
    found.uninstall()


def timers():
    """Timers that will act; a thread ends some time after its timer."""
    return [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and not thread.finished.is_set()
    ]


def test_without_a_run_sigterm_ends_at_once(one):
    with pytest.raises(SystemExit) as stop:
        one.handle(signal.SIGTERM, None)
    assert stop.value.code == 143
    assert not timers()


def test_a_run_gets_some_time(one):
    one.begin_run()
    one.handle(signal.SIGTERM, None)
    assert one.is_asked_to_stop
    assert timers() == [one.timer]
    # Launchers send it more than once.
    one.handle(signal.SIGTERM, None)
    assert timers() == [one.timer]


@pytest.mark.parametrize('end', [Interruption.cancel, Interruption.reset])
def test_a_process_that_goes_on_is_not_ended_later(one, end):
    one.begin_run()
    one.handle(signal.SIGTERM, None)
    timer = one.timer
    end(one)
    timer.join(timeout=60)
    assert not timers()
    assert not one.is_awaited


def test_the_next_run_is_not_asked_to_stop(one):
    one.begin_run()
    one.folders = ('run', 'run', 'epoch_{}.pth')
    one.handle(signal.SIGTERM, None)
    one.is_ending = True
    one.saved = 'run/interrupted.pth'
    one.cancel()
    one.begin_run()
    assert not one.is_asked_to_stop
    assert one.is_awaited
    assert one.saved is None
    assert one.folders == ('run', 'run', 'epoch_{}.pth')


def test_sigterm_before_a_run_is_not_forgotten(one):
    one.received = signal.SIGTERM
    one.begin_run()
    assert one.is_asked_to_stop


def test_ctrl_c_that_was_swallowed_comes_again(one):
    one.check()
    with pytest.raises(KeyboardInterrupt):
        one.handle(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        one.check()


@pytest.mark.parametrize(
    'number, code, name',
    [(signal.SIGINT, 130, 'Ctrl-C'), (signal.SIGTERM, 143, 'SIGTERM')],
)
def test_a_tool_ends_with_one_line(number, code, name, capsys):
    interruption.uninstall()  # of a run that another test has left
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop, ends_with_a_line():
        os.kill(os.getpid(), number)
    assert stop.value.code == code
    assert capsys.readouterr().err == (
        f'\nStopped by {name}. Nothing was trained: run the same command '
        'again.\n'
    )
    assert signal.getsignal(number) == before
    assert not interruption.is_awaited
    assert interruption.received is None
    assert not timers()
