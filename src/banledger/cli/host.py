"""Where this recorder runs: its display name, its identity among clones, its state directory."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from banledger.service.systemd import state_directory

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STATE = Path("/var/lib/banledger")
_LONGEST_HOST = 64
_ANYWHERE = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)  # documentation addresses: connecting a UDP socket sends nothing


def recorder_name() -> str:
    """Host, address, boot and process of this recorder. Clones often differ only in the last three."""
    return f"{_host()} ({', '.join([*_address(), *_boot(), f'pid {os.getpid()}'])})"


def place_of(spool: str) -> str:
    """Values that the recorder of a spool shares with a command run beside it, and rarely with a clone.

    Not the boot: the service's sandbox hides it.
    """
    return " ".join([_host(), *_address(), os.path.realpath(spool)])


def state(folder: str) -> Path | None:
    """A directory for state that survives restarts; it may not exist yet. None: there is no place for it."""
    home = state_directory() or _STATE
    return home / folder if home.is_dir() else None


def _host() -> str:
    name = socket.gethostname()[:_LONGEST_HOST]
    return name if name.isascii() and name.isprintable() else "host"


def _boot() -> list[str]:
    with suppress(OSError):
        return ["boot " + _BOOT.read_text(encoding="ascii")[:8]]
    return []


def _address() -> list[str]:
    """This host's outgoing address, if there is one."""
    for family, anywhere in _ANYWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            return [str(probe.getsockname()[0])]
    return []
