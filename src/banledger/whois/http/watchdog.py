"""A deadline for a whole connection, however slowly the server sends.

Theory of operation. A server can hold a client in many ways: accept the connection and stay silent, send a byte a
minute, or never end. Time-outs of single reads do not help, so a thread shuts the connection down at the deadline. The
reader then sees the end of the stream, and asks the watchdog for the reason. The watchdog holds a duplicate of the
socket's descriptor, because TLS wraps the socket in another object.
"""

import socket
import time
from threading import Lock, Timer
from types import TracebackType
from typing import Self


class Watchdog:
    """Shut a connection down at a deadline. A context: it watches from enter to exit."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._timer = Timer(max(seconds, 0.0), self._bite)
        self._timer.daemon = True
        self._lock = Lock()
        self._leash: socket.socket | None = None
        self.expired = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        if self.left_s <= 0:
            self.expired = True
        self.watch(None)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._until - time.monotonic()

    def check(self) -> None:
        """Raise TimeoutError if the deadline has passed: the end of the stream was not the server's."""
        if self.expired or self.left_s <= 0:
            self.expired = True
            raise TimeoutError("too slow")

    def watch(self, connection: socket.socket | None) -> None:
        """Watch this connection from now on; None: none."""
        with self._lock:
            if self._leash is not None:
                self._leash.close()
            self._leash = None if connection is None else connection.dup()
        if connection is not None:
            self.check()

    def _bite(self) -> None:
        with self._lock:
            self.expired = True
            if self._leash is not None:
                try:
                    self._leash.shutdown(socket.SHUT_RDWR)
                except OSError:  # closed by the other side just now
                    return
