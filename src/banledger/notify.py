"""Talk to systemd: sd_notify(3), nothing more. Without systemd it does nothing."""

import os
import socket


class Notifier:
    """Says to the service manager how the service fares. `address` is what NOTIFY_SOCKET holds, or empty."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """The service works."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """The watchdog may rest."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto(message.encode(), self._address)
            except OSError:
                self._address = ""


def from_environment() -> Notifier:
    """The notifier for this process. NOTIFY_SOCKET is taken out of the environment, so that no child inherits it."""
    return Notifier(os.environ.pop("NOTIFY_SOCKET", ""))
