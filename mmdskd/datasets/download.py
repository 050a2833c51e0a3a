"""What the data sets that download their files share."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Limit how long new connections wait: MMPretrain sets no limit.

    Args:
        seconds (float): Seconds until a connection is given up if the server
            does not answer, > 0.

    Yields:
        None: New sockets have the limit until the context is left.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
