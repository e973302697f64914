"""A deadline for a whole connection, however slowly the server sends.

Theory of operation. A server can hold a client in many ways: accept the connection and stay silent, send a byte a
minute, or never end. Time-outs of single reads do not help, so a thread shuts the connection down at the deadline. The
reader then sees the end of the stream, and asks the watchdog for the reason. The watchdog holds a duplicate of the
socket's descriptor, because TLS wraps the socket in another object.
"""

import socket
import time
from contextlib import suppress
from threading import Timer
from typing import Self


class Watchdog:
    """Shut a connection down `seconds` after the watchdog was made. A context: it watches until exit.

    expired: whether the deadline has passed
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._until = time.monotonic() + seconds
        self._leash: socket.socket | None = None
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.expired |= self.left_s <= 0
        if self._timer and self._leash:
            self._timer.cancel()
            self._timer.join()
            self._leash.close()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._until - time.monotonic()

    def check(self) -> None:
        """Raise TimeoutError if the deadline has passed: the end of the stream was not the server's."""
        self.expired |= self.left_s <= 0
        if self.expired:
            raise TimeoutError("too slow")

    def watch(self, connection: socket.socket) -> None:
        """Watch this connection from now on. Call it once."""
        self._leash = connection.dup()
        self._timer = Timer(max(self.left_s, 0.0), self._bite, [self._leash])
        self._timer.daemon = True
        self._timer.start()

    def _bite(self, leash: socket.socket) -> None:
        self.expired = True
        with suppress(OSError):  # closed by the other side just now
            leash.shutdown(socket.SHUT_RDWR)
