"""Where this recorder runs: its display name, its identity among clones, its state directory."""

import os
import socket
from contextlib import suppress
from hashlib import sha256
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
    return f"{host()} ({', '.join([*_address(), *_boot(), f'pid {os.getpid()}'])})"


def recorder_id(machine: str, spool: str) -> str:
    """The id of this recorder's heartbeat: the same after a restart. `machine`: its name in a shared ledger."""
    return sha256("\n".join([machine, host(), os.path.realpath(spool)]).encode("utf-8", "replace")).hexdigest()[:12]


def place_of(spool: str) -> str:
    """Values that the recorder of a spool shares with a command run beside it, and rarely with a clone.

    Not the boot: the service's sandbox hides it.
    """
    return " ".join([host(), *_address(), os.path.realpath(spool)])


def state(folder: str) -> Path | None:
    """A directory for state that survives restarts; it may not exist yet. None: there is no place for it."""
    home = state_directory() or _STATE
    return home / folder if home.is_dir() else None


def host() -> str:
    """This machine's name."""
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
