"""Repair a ban's hash: damaged fields are dropped, or derived from the others. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from banledger.ledger.ban import FIELDS, FOR_EVER, LIVE, PUBLIC, from_hash, to_hash
from banledger.ledger.ban_forms import LONGEST_BANTIME
from banledger.ledger.ids import is_id_of, second_of
from banledger.ledger.tombstone import FORGOTTEN, is_tombstone, repaired_tombstone
from banledger.net.prefix import block
from banledger.net.special import kind_of
from banledger.stores import fields as read

_IDENTITY = frozenset(("server", "jail", "fid", "ip"))

Local: TypeAlias = Callable[[int], tuple[str, int]]
"""Return the local day (YYYY-MM-DD) and hour of a UTC epoch second."""


def repaired(ban_id: str, fields: dict[str, str], local: Local) -> dict[str, str] | None:
    """Return the hash with damaged fields dropped, or derived from the others; None: the ban's identity is unknown.

    Fields unknown to this version are kept. A hash that is a ban's and a tombstone's at once stays a ban's.
    """
    if is_tombstone(fields) and "server" not in fields:
        return repaired_tombstone(ban_id, fields)
    left = {name: value for name, value in fields.items() if name != FORGOTTEN}
    for _ in range(len(FIELDS) + 1):
        try:
            ban = from_hash(ban_id, left)
        except read.Damaged as error:
            known = _again(ban_id, error.field, left, local)
            needed = error.field in _IDENTITY and not (error.field == "ip" and "fid" in left)
            if known is None and (needed or error.field not in left):
                return None
            left.pop(error.field, None)
            left |= {} if known is None else {error.field: known}
            continue
        return left if is_id_of(ban.id, ban.subject) else _with_own_time(ban_id, left, local)
    return None


def _with_own_time(id_: str, fields: dict[str, str], local: Local) -> dict[str, str] | None:
    """Return the hash with the time from its id, if only the time was wrong; otherwise None."""
    time = second_of(id_)
    if time is None or fields["time"] == str(time):
        return None
    day, hour = local(time)
    left = fields | {"time": str(time), "day": day, "hour": str(hour)}
    left.pop("expires", None)
    ban = from_hash(id_, left)
    return left | {"expires": to_hash(ban)["expires"]} if is_id_of(ban.id, ban.subject) else None


def _again(id_: str, name: str, fields: dict[str, str], local: Local) -> str | None:
    """Derive a required field from the others; None: impossible, or the field is optional."""
    second = second_of(id_)
    time = fields["time"] if fields.get("time", "").isdecimal() and len(fields["time"]) < 12 else str(second)
    if second is None:
        return None
    if name in ("time", "seen"):
        return str(second) if name == "time" else f"{float(time):.6f}"
    if name in ("day", "hour"):
        return str(local(int(time))[name == "hour"])
    if name == "bantime":
        return _bantime_of(fields.get("expires", ""), int(time))
    if name == "scope":
        address = fields.get("ip")
        return "none" if address is None else "private" if kind_of(block(address)) else PUBLIC
    return {"failures": "0", "bancount": "0", "origin": LIVE}.get(name)


def _bantime_of(expires: str, time: int) -> str:
    """Return the bantime that gives `expires`; 0 if `expires` is invalid too."""
    if expires == FOR_EVER:
        return "-1"
    return str(max(0, min(int(expires) - time, LONGEST_BANTIME))) if expires.isdecimal() and len(expires) < 16 else "0"
