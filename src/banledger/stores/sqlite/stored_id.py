"""Ids inside keys and members, as an embedded ledger stores them: 12 bytes each. Pure.

A text of an id's form is stored packed wherever it is a member of a set or of a ranking, and at the end of a hash's
key; except ids before 2000 in rankings. No writer stores another such text as it is, so what is not packed, and bytes
that are no packed id, are somebody else's.
"""

from functools import lru_cache
from typing import TypeAlias

import msgspec

from banledger.stores.id_form import ID_LENGTH, has_id_form
from banledger.stores.sqlite.ids import pack_id, unpack_id

PACKED_LENGTH = 12

Member: TypeAlias = str | bytes
"""A member as its row has it."""

ItemKey: TypeAlias = tuple[str, bytes]
"""The key of an item: its head, which is what stands before the id, without the month; and the packed id."""

_NO_MONTH = "{}"

NO_ID = "member < x''"
"""Whether a member is text, in SQL. Numbers stand before text, and text before bytes, whatever a column's type."""

_END = "x'ba37e000'"  # 2069-01-01 UTC: texts of ids have two digits of the year, and 69 is 1969
_BEGIN = "x'386d4380'"  # 2000-01-01 UTC: packed ids below it stand first, their texts, from 70 on, last
_BEFORE = "7"

PACKED = (
    f"length({{column}}) = {PACKED_LENGTH} AND {{column}} >= x'' AND {{column}} < {_END}"
    f" AND substr({{column}}, 5, 2) < x'0004'"
)
"""Whether a column holds a packed id, in SQL. Only bytes are not below `x''`: faster than to ask for the type."""

_IS_ID = PACKED.format(column="member")
OURS = f"(+member < x'' AND NOT (length(member) = {ID_LENGTH} AND is_id(member)) OR {_IS_ID})"
"""Whether a member of a set is what a writer stores, in SQL. Needs `is_id` as a function of the connection."""

RANKED = f"+member < x'' AND NOT (length(member) = {ID_LENGTH} AND member < '{_BEFORE}' AND is_id(member))"
"""Whether a member is what a writer stores in `ranking`, in SQL. Needs `is_id`."""

MARKED = f"{PACKED.format(column='id')} AND id >= {_BEGIN}"
"""Whether an id is what a writer stores in `mark`, in SQL. Such ids sort as their texts."""

LISTED = f"SELECT substr(?, value, {PACKED_LENGTH}) FROM json_each(?)"
"""The ids of a blob and its `places`, in SQL: ids come in one blob, because JSON has none."""

IS_TEXT = "is_text(CAST({column} AS BLOB))"
"""Whether the text of a column is UTF-8, in SQL. Needs `is_text` as a function of the connection."""


@lru_cache(maxsize=8192)
def packed_id(text: str) -> bytes | None:
    """Return an id packed; None: the text is no id, or one that can't be packed (1969)."""
    try:
        return pack_id(text) if has_id_form(text) else None
    except ValueError:
        return None


def is_id(member: object) -> bool:
    """Whether a member is an id that a writer would have packed."""
    return isinstance(member, str) and packed_id(member) is not None


def is_text(raw: bytes | None) -> bool:
    """Whether these bytes are UTF-8 (None: no bytes are)."""
    try:
        return raw is None or raw.decode() is not None
    except UnicodeDecodeError:
        return False


def stored(member: str) -> Member:
    """Return a member as its row has it."""
    return (packed_id(member) or member) if len(member) == ID_LENGTH else member


@lru_cache(maxsize=8192)
def ranked(member: str) -> Member:
    """Return a member of a sorted set that has a ranking: an id as `mark` has it, or text as `ranking` has it."""
    return stored(member) if member < _BEFORE else member


def has_mark(member: str) -> bool:
    """Whether a member of a sorted set that has a ranking is in `mark`."""
    return len(member) == ID_LENGTH and isinstance(ranked(member), bytes)


@lru_cache(maxsize=64)
def places(count: int) -> str:
    """Return where each of so many ids in one blob begins, from 1, as JSON."""
    return msgspec.json.encode(list(range(1, PACKED_LENGTH * count, PACKED_LENGTH))).decode()


def shown(member: Member) -> str:
    """Return the member that a row has."""
    return unpack_id(member) if isinstance(member, bytes) else member


@lru_cache(maxsize=8192)
def item_key(key: str) -> ItemKey | None:
    """Return the key of an item; None: this key is stored by its name."""
    id_ = key[-ID_LENGTH:]
    packed = packed_id(id_)
    head = _head(key[:-ID_LENGTH], id_[:4]) if packed else None
    return (head, packed) if head is not None and packed else None


@lru_cache(maxsize=1024)
def _head(text: str, month: str) -> str | None:
    """Return what stands before an id without its month; None: what it was would be lost."""
    return None if _NO_MONTH in text else text.replace(f"{{{month}}}", _NO_MONTH)


def key_of_item(head: str, packed: bytes) -> str:
    """Return the key whose item has this head and id."""
    id_ = unpack_id(packed)
    return head.replace(_NO_MONTH, f"{{{id_[:4]}}}") + id_
