"""What a tool shows while it works."""

import io
import time

import pytest

from mmdskd.utils.progress import Progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


PARTS = {'reading': 1, 'trying': 3, 'writing': 2}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    def new(stream=None, **kwargs):
        return Progress(
            'a tool', PARTS, stream or io.StringIO(), clock=clock, **kwargs
        )

    return new


def test_time_left_by_what_is_done(make, clock):
    progress = make()
    assert progress.time_left() is None
    progress.begin('reading')
    clock.now += 4
    assert progress.time_left() is None  # nothing is known
    progress.begin('trying')
    # 4 s for 1: 12 s and 8 s
    assert progress.time_left() == 20
    clock.now += 10
    assert progress.time_left() == 10
    clock.now += 2  # longer than that: unknown
    assert progress.time_left() is None
    clock.now += 4
    progress.begin('writing')
    # 20 s for 4
    assert progress.time_left() == 10


def test_time_left_by_counts(make, clock):
    progress = make()
    progress.begin('trying')
    clock.now += 6
    progress.count(1, 4)
    # 18 s of 24 s, and 2 / 3 of that
    assert progress.time_left() == 18 + 16


def test_follow(make, clock):
    progress = make()
    left = []
    for _ in progress.follow('writing', 'abcd'):
        clock.now += 2
        left.append(progress.time_left())
    # 2, 4, 6 and 8 s since the start, when 0 to 3 of 4 are done
    assert left == [None, 16 - 4, 12 - 6, pytest.approx(32 / 3 - 8)]
    assert progress.part == 'writing' and progress.done == 1


def test_lines_without_a_terminal(make, clock):
    stream = io.StringIO()
    progress = make(stream)
    for seconds in range(26):
        clock.now = 100.0 + seconds
        if seconds == 2:
            progress.begin('reading')
        if seconds == 7:
            progress.begin('trying')
        progress.show()
    assert stream.getvalue().splitlines() == [
        'a tool: [2/3] trying, 10 s so far, about 22 s left',
        'a tool: [2/3] trying, 20 s so far, about 12 s left',
    ]


def test_nothing_if_it_is_fast(make, clock):
    for stream in (io.StringIO(), Terminal()):
        progress = make(stream)
        with progress:
            progress.begin('reading')
            clock.now += 2.9
            progress.show()
            progress.clear()
        assert stream.getvalue() == ''


def test_one_line_on_a_terminal(make, clock):
    stream = Terminal()
    progress = make(stream)
    progress.begin('reading')
    for seconds in (1, 3, 3.2, 3.5):
        clock.now = 100.0 + seconds
        progress.show()
    assert stream.getvalue() == (
        '\ra tool: [1/3] reading, 3 s so far\033[K'
        '\ra tool: [1/3] reading, 4 s so far\033[K'
    )
    progress.clear()
    progress.clear()
    assert stream.getvalue().endswith('\033[K\r\033[K')
    assert stream.getvalue().count('\033[K') == 3


def test_it_is_shown_while_the_tool_works(make):
    stream = Terminal()
    progress = Progress('a tool', PARTS, stream, patience=0)
    with pytest.raises(KeyboardInterrupt), progress:
        progress.begin('reading')
        for _ in range(100):
            if stream.getvalue():
                break
            time.sleep(0.1)
        raise KeyboardInterrupt
    assert '[1/3] reading' in stream.getvalue()
    assert stream.getvalue().endswith('\r\033[K')
    assert not progress._thread.is_alive()
