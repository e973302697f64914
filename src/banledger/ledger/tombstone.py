"""What is left of a forgotten ban: a hash with one field. Its id tells that a line about the ban is known. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from banledger.ledger.ids import second_of
from banledger.stores import fields as read
from banledger.stores.fields import Damaged
from banledger.stores.id_form import has_id_form

FORGOTTEN = "forgotten"
"""The field of a tombstone: when the ban was forgotten, UTC epoch second."""


RENAMED = "renamed"
"""A second one, if the ban is recorded under another id, since its server has another label now: that label."""


class Tombstone(Struct, frozen=True):
    """A forgotten ban, or (`renamed`) one that is recorded under another label. `at`: since when, UTC epoch second."""

    id: str
    at: int
    renamed: str = ""


def tombstone_hash(at: float, renamed: str = "") -> dict[str, str]:
    """Return the hash of a ban that was forgotten or renamed then (UTC epoch)."""
    return {FORGOTTEN: str(int(at))} | ({RENAMED: renamed} if renamed else {})


def is_tombstone(fields: Mapping[str, str]) -> bool:
    """Whether this is the hash of a forgotten ban, sound or damaged."""
    return FORGOTTEN in fields


def tombstone_of(id_: str, fields: Mapping[str, str]) -> Tombstone:
    """Return the tombstone with that hash. Raises `fields.Damaged`."""
    at = read.whole(fields, FORGOTTEN, most=read.YEAR_3000)
    if not fields.keys() <= {FORGOTTEN, RENAMED}:
        raise Damaged("", f"has fields beside `{FORGOTTEN}`")
    if not has_id_form(id_):
        raise Damaged("", "has no id of a ban")
    return Tombstone(id_, at, read.required(fields, RENAMED) if RENAMED in fields else "")


def repaired_tombstone(id_: str, fields: Mapping[str, str]) -> dict[str, str] | None:
    """Return the hash without damage; a lost time becomes that of the ban. None: the id is none."""
    try:
        renamed = read.required(fields, RENAMED) if RENAMED in fields else ""
    except Damaged:
        renamed = ""
    try:
        at = read.whole(fields, FORGOTTEN, most=read.YEAR_3000) if has_id_form(id_) else None
    except Damaged:
        at = max(0, second_of(id_) or 0)
    return None if at is None else tombstone_hash(at, renamed)
