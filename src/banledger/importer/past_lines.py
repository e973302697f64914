"""Bans of the past as lines of the spool. Pure."""

from typing import Any

from banledger.importer.database import DatabaseRow
from banledger.importer.past_ban import PastBan
from banledger.ledger.ban import IMPORTED
from banledger.ledger.users import whole
from banledger.spool.events import VERSION


def line_of_ban(ban: PastBan | DatabaseRow, server: str) -> dict[str, Any]:
    """Return the line of a ban of `server`, without what is unknown."""
    made = _of_row(ban) if isinstance(ban, DatabaseRow) else _of_log(ban)
    common = {"v": VERSION, "kind": "ban", "server": server, "jail": ban.jail, "fid": ban.fid, "origin": IMPORTED}
    return common | {name: value for name, value in made.items() if value}


def _of_row(row: DatabaseRow) -> dict[str, Any]:
    """A row has the ticket's own second, so its line is like any other."""
    return {
        "seen": row.time,
        "time": row.time,
        "failures": row.failures,
        "bantime": row.bantime,
        "bancount": row.bancount,
        "users": whole(row.users),
        "matches": row.matches,
        "again": int(row.again),
    }


def _of_log(ban: PastBan) -> dict[str, Any]:
    """What a log says: the ledger decides which ban it means."""
    return {
        "seen": round(ban.logged, 6),
        "time": ban.found or int(ban.logged),
        "logged": round(ban.logged, 6),
        "found": ban.found,
        "first": ban.first,
        "unbanned": round(ban.unbanned, 6),
        "failures": ban.failures,
        "bantime": ban.bantime,
        "bancount": ban.bancount,
    }


def line_of_import(server: str, now: float, *, bans: int, lines: int, networks: int = 0) -> dict[str, Any]:
    """Return the last line of an import (UTC epoch `now`): how many bans and networks it wrote, and lines it read."""
    name = "banledger import"
    return {
        "v": VERSION,
        "kind": "import",
        "seen": now,
        "server": server,
        "jail": name,
        "bans": bans,
        "lines": lines,
    } | ({"networks": networks} if networks else {})
