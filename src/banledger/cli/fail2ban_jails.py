"""Ask this machine's fail2ban which jails ban, if it may be asked: its socket is usually root's."""

import os
import re
import subprocess
import time
from collections.abc import Iterator

from banledger.report.status import UnrecordedJail

_SOCKETS = ("/run/fail2ban/fail2ban.sock", "/var/run/fail2ban/fail2ban.sock")
_CLIENTS = ("/usr/bin/fail2ban-client", "/usr/local/bin/fail2ban-client")
_PATIENCE_S = 3.0
_MOST_BYTES = 1 << 20
_LIST = re.compile(r"(?m)^.*Jail list:[ \t]*(.*)$")
_NUMBERS = {"banned": re.compile(r"Currently banned:\s*(\d{1,15})"), "total": re.compile(r"Total banned:\s*(\d{1,15})")}


def unrecorded_jails(recorded: set[str]) -> tuple[UnrecordedJail, ...] | None:
    """Return the jails that ban and are not among the recorded ones; None: fail2ban can't be asked, or is silent."""
    command = _command()
    if not command:
        return None
    until = time.monotonic() + _PATIENCE_S
    listed = _LIST.search(_ask([*command, "status"], until))
    if listed is None:
        return None
    names = [name.strip() for name in listed[1].split(",") if name.strip()]
    others = [name for name in names if name not in recorded]
    return tuple(_banning(command, others, until))


def _command() -> list[str]:
    """The words that ask the system's fail2ban; none if there is none, or it may not be asked."""
    if not any(os.access(path, os.R_OK | os.W_OK) for path in _SOCKETS):
        return []
    return next(([path] for path in _CLIENTS if os.access(path, os.X_OK)), [])


def _banning(command: list[str], jails: list[str], until: float) -> Iterator[UnrecordedJail]:
    """The jails with bans, as far as they answer in time."""
    for jail in jails:
        said = _ask([*command, "status", jail], until)
        found = {name: int(match[1]) for name, pattern in _NUMBERS.items() if (match := pattern.search(said))}
        if any(found.values()):
            yield UnrecordedJail(jail, found.get("banned", 0), found.get("total", 0))


def _ask(words: list[str], until: float) -> str:
    """What a command prints; nothing if it fails or does not end in time."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(0.1, until - time.monotonic()),
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout[:_MOST_BYTES].decode("utf-8", "backslashreplace") if done.returncode == 0 else ""
