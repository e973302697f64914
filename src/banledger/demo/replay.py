"""Feed a log through a private fail2ban-server, with the stock `sshd` filter and our action, to its end."""

import os
import re
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from banledger.demo.fail2ban import PrivateServer, action_line
from banledger.demo.installation import Installation
from banledger.demo.signals import Wait
from banledger.errors import BanledgerError

SERVER = "demo"
"""The server label of the demo's bans."""

JAILS = {"sshd": 5, "sshd-strict": 2}
"""The demo's jails with their number of failures before a ban: fail2ban's default, and a strict one."""

_OPTIONS = {"filter": "sshd", "findtime": "60d", "bantime": "365d"}  # the whole log counts, no ban has run out
_BAN = re.compile(r"NOTICE +\[[^]]+\] Ban ")
_POLL_S = 0.1
_QUIET_S = 1.0
_PATIENCE_S = 45.0


class Played(Struct, frozen=True):
    """The result: the number of bans, the seconds taken, and the server's log."""

    bans: int
    seconds: float
    log: str


def play(log: Path, spool: Path, directory: Path, installation: Installation, pause: Wait) -> Played:
    """Run a server in `directory` that reads the log and writes its bans to the spool (created here); then kill it.

    A server that stops normally writes a stop, and then none of its bans would count as in force.

    Raises BanledgerError if it ends early or takes too long.
    """
    spool.mkdir(mode=0o750)
    started = time.monotonic()
    with PrivateServer(directory, _jails(log, spool), installation) as server:
        seconds = _wait_until_read(server, log.stat().st_size, pause) - started
        server.kill()
    said = server.log_text()
    return Played(len(_BAN.findall(said)), seconds, said)


def _jails(log: Path, spool: Path) -> dict[str, dict[str, str]]:
    action = action_line(spool=spool, server=SERVER)
    common = _OPTIONS | {"logpath": str(log), "action": action}
    return {name: common | {"maxretry": str(failures)} for name, failures in JAILS.items()}


def _wait_until_read(server: PrivateServer, size: int, pause: Wait) -> float:
    """Wait until every jail has read `size` bytes and the server's log is quiet; return the time of its last line."""
    deadline = time.monotonic() + _PATIENCE_S
    length, since = -1, 0.0
    while True:
        pause(_POLL_S)
        now = time.monotonic()
        if (grown := server.log_file.stat().st_size) != length:
            length, since = grown, now
        if now - since >= _QUIET_S and _all_read(server.database, size):
            return since
        if server.pid is None or now > deadline:
            how = "ended before it had read the log" if server.pid is None else "took too long to read the log"
            raise BanledgerError(f"fail2ban-server {how}", hint=_last_words(server))


def _all_read(database: Path, size: int) -> bool:
    """Whether the server has stored that each jail is at the end; False while its database is busy."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{quote(os.fsencode(database))}?mode=ro", uri=True)) as notes,
    ):
        read = dict(notes.execute("SELECT jail, lastfilepos FROM logs"))
        return all(read.get(jail, 0) >= size for jail in JAILS)
    return False


def _last_words(server: PrivateServer) -> str:
    lines = server.log_text().splitlines()
    return f"its log ends with: {lines[-1]}" if lines else "it said nothing"
