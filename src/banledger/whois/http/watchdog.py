"""A deadline that holds for a whole conversation, however slowly the other side speaks.

Theory of operation. A server has many ways to keep a client: it takes the connection and says nothing, sends a byte
a minute, or never ends. Time-outs of single reads do not help, so a thread shuts the connection down at the deadline,
whatever it is waiting for; whoever reads then sees its end, and asks the watchdog why. It holds a duplicate of the
socket's descriptor, because TLS wraps the socket into another object.
"""

import socket
import time
from threading import Lock, Timer
from types import TracebackType
from typing import Self


class Watchdog:
    """Shuts a connection down after some seconds. A context: it watches from enter to exit."""

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
        """Raise TimeoutError if it has shut the connection down: an end that was read then is none."""
        if self.expired or self.left_s <= 0:
            self.expired = True
            raise TimeoutError("too slow")

    def watch(self, connection: socket.socket | None) -> None:
        """From now on that connection, or none."""
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
