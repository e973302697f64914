"""The service under systemd: state directory, systemd.exec(5), and sd_notify(3). Does nothing without systemd."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

_ALIVE_S = 5.0  # well below half of any sensible WatchdogSec
_LONGEST_S = 1800.0
_PATIENCE_S = 1.0  # a manager that does not read must not block the recording


class Notifier:
    """Report the service's state to the service manager. `address`: the value of NOTIFY_SOCKET, or empty."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._alive_due = 0.0

    def ready(self, status: str) -> None:
        """Report that the service is ready."""
        self._send("READY=1", f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog. May be called at any rate."""
        now = time.monotonic()
        if now >= self._alive_due:
            self._alive_due = now + _ALIVE_S
            self._send("WATCHDOG=1")

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Feed the watchdog meanwhile, for half an hour at most: a step may take minutes."""
        ended = Event()
        feeder = Thread(target=self._feed, args=(ended,), daemon=True)
        if self._address:
            feeder.start()
        try:
            yield
        finally:
            ended.set()
            if self._address:
                feeder.join()

    def _feed(self, ended: Event) -> None:
        for _ in range(int(_LONGEST_S / _ALIVE_S)):
            if ended.wait(_ALIVE_S):
                return
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the text that `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def _send(self, *words: str) -> None:
        if not self._address:
            return
        message = "\n".join(" ".join(word.splitlines()) for word in words).encode("utf-8", "backslashreplace")
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE_S)
            channel.sendto(message, self._address)


def from_environment() -> Notifier:
    """The notifier for this process. Removes NOTIFY_SOCKET from the environment, so that no child inherits it."""
    return Notifier(os.environ.pop("NOTIFY_SOCKET", ""))


def state_directory() -> Path | None:
    """The directory for state that survives restarts, the first of STATE_DIRECTORY. None if there is none."""
    first = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None
