"""What systemd gives a service: its state directory, systemd.exec(5), and sd_notify(3). Without systemd, nothing."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

_ALIVE_S = 5.0  # well below half of any sensible WatchdogSec
_PATIENCE_S = 1.0  # a manager that does not read must not stop the recording


class Notifier:
    """Says to the service manager how the service fares. `address` is what NOTIFY_SOCKET holds, or empty."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._alive_due = 0.0

    def ready(self, status: str) -> None:
        """The service works."""
        self._send("READY=1", f"STATUS={status}")

    def alive(self) -> None:
        """The watchdog may rest. May be called at any rate."""
        now = time.monotonic()
        if now >= self._alive_due:
            self._alive_due = now + _ALIVE_S
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def _send(self, *words: str) -> None:
        if not self._address:
            return
        message = "\n".join(" ".join(word.splitlines()) for word in words).encode("utf-8", "backslashreplace")
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE_S)
            channel.sendto(message, self._address)


def from_environment() -> Notifier:
    """The notifier for this process. NOTIFY_SOCKET is taken out of the environment, so that no child inherits it."""
    return Notifier(os.environ.pop("NOTIFY_SOCKET", ""))


def state_directory() -> Path | None:
    """The directory to keep things in across restarts, the first of STATE_DIRECTORY. None if there is none."""
    first = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None
