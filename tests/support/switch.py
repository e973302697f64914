"""A TCP port that leads to one of several servers, as a name that moves with the primary does."""

import socket
import threading
from contextlib import suppress


class Switch:
    """Listens on `port` of the loopback. What is connected when it is turned is cut off."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, target: int) -> None:
        """From now on it leads there."""
        with self._lock:
            self._target = target
            connected, self._open = self._open, []
        for one in connected:
            _cut(one)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self.turn(self._target)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    target = self._target
                try:
                    far = socket.create_connection(("127.0.0.1", target), 2)
                except OSError:
                    _cut(near)
                    continue
                far.settimeout(None)
                with self._lock:
                    self._open += (near, far)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_forward, args=(one, other), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _cut(source)
    _cut(target)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
