"""What is left of a forgotten ban: a hash with one field. Its id tells that a line about the ban is known. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from banledger.ledger.ids import second_of
from banledger.stores import fields as read
from banledger.stores.fields import Damaged
from banledger.stores.id_form import has_id_form

FORGOTTEN = "forgotten"
"""The field of a tombstone: when the ban was forgotten, UTC epoch second."""


class Tombstone(Struct, frozen=True):
    """A forgotten ban. `at`: when it was forgotten, UTC epoch second."""

    id: str
    at: int


def tombstone_hash(at: float) -> dict[str, str]:
    """Return the hash of a ban that was forgotten then (UTC epoch)."""
    return {FORGOTTEN: str(int(at))}


def is_tombstone(fields: Mapping[str, str]) -> bool:
    """Whether this is the hash of a forgotten ban, sound or damaged."""
    return FORGOTTEN in fields


def tombstone_of(id_: str, fields: Mapping[str, str]) -> Tombstone:
    """Return the tombstone with that hash. Raises `fields.Damaged`."""
    at = read.whole(fields, FORGOTTEN, most=read.YEAR_3000)
    if len(fields) > 1:
        raise Damaged("", f"has fields beside `{FORGOTTEN}`")
    if not has_id_form(id_):
        raise Damaged("", "has no id of a ban")
    return Tombstone(id_, at)


def repaired_tombstone(id_: str, fields: Mapping[str, str]) -> dict[str, str] | None:
    """Return the hash without damage; a lost time becomes that of the ban. None: the id is none."""
    try:
        return tombstone_hash(read.whole(fields, FORGOTTEN, most=read.YEAR_3000)) if has_id_form(id_) else None
    except Damaged:
        return tombstone_hash(max(0, second_of(id_) or 0))
