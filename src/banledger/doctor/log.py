"""What fail2ban's log says of our action, and of the server's end."""

import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from banledger.doctor.diagnosis import Diagnosis, caution, unseen, well
from banledger.doctor.examined import Examined
from banledger.report.formats.escape import many
from banledger.setup.fail2ban import SILENT

_TAIL = 1 << 20
_PREFIX = "banledger: "
_ENDS = "works again"
_STARTS, _EXITS = "Starting Fail2ban", "Exiting Fail2ban"
_BAD = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
_STAMP = re.compile(r"^[-\d]+ [:\d]+(,\d+)? +")


def trouble(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    where = examined.server.log
    if not examined.server.alive:
        return unseen(SILENT)
    command = f"grep -a 'banledger: ' {quote(where)} | tail"
    if where.startswith("/"):
        lines = [*tail(Path(where))]
    else:
        lines = examined.journal("fail2ban", 2000)
        command = "journalctl -u fail2ban -g 'banledger: ' -n 20"
    said = complaints(lines)
    if said:
        return caution(f"{many(len(said), 'complaint')} since fail2ban's start, last: {said[-1]}", command)
    return well("no complaint of the action since fail2ban's start")


def complaints(lines: "list[str]") -> list[str]:
    """The action's complaints since the last start of fail2ban that aren't settled."""
    found: list[str] = []
    for line in lines:
        if _STARTS in line:
            found.clear()
        head, ours, message = line.partition(_PREFIX)
        if ours and _ENDS in message:
            found.clear()
        elif ours and _BAD.search(head):
            found.append(message.strip())
    return found


def last_error(log: Path) -> str:
    """The last error of a fail2ban that did not end by itself; empty if there is none, or the log can't be read."""
    said = ""
    for line in tail(log):
        if _STARTS in line or _EXITS in line:
            said = ""
        elif ("ERROR" in line or "CRITICAL" in line) and _PREFIX not in line:
            said = _STAMP.sub("", line).strip()
    return said


def tail(log: Path) -> Iterator[str]:
    """The last lines of a file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            yield from file.read(_TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return
