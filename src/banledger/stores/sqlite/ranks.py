"""Pages of sorted sets in the order of the contract: by score, and equal ones by the member's text."""

import sqlite3
from collections.abc import Sequence

from banledger.stores.api import Scored
from banledger.stores.sqlite.stored_id import OURS, TEXT_BEFORE, Member, shown

NUMBER = "score < ''"
"""Whether a score is a number, in SQL: numbers stand before text, and text before bytes."""

# Parts of a ranking whose order is that of the members' texts. Between them it is not.
_PARTS = (
    "+member < x''",
    f"member >= x'' AND member < x'{TEXT_BEFORE.hex()}'",
    f"member >= x'{TEXT_BEFORE.hex()}'",
)
_HAS = "EXISTS (SELECT 1 FROM ranking WHERE key = ?1 AND {})"
_HAS_PARTS = f"SELECT {', '.join(_HAS.format(part.removeprefix('+')) for part in _PARTS)}"


def page(db: sqlite3.Connection, number: int | None, table: str, start: int, count: int, ours: str) -> list[Scored]:
    """Return a page of the sorted set with that number, see Reader.ranking. `ours`: which members a writer stores."""
    if ours == OURS:
        parts = [part for part, has in zip(_PARTS, db.execute(_HAS_PARTS, (number,)).fetchone(), strict=True) if has]
        if len(parts) > 1:
            found = [one for part in parts for one in _page(db, number, table, 0, start + count, f"{ours} AND {part}")]
            return sorted(found, key=lambda one: (one[1], one[0]), reverse=True)[start : start + count]
    return _page(db, number, table, start, count, ours)


def _page(db: sqlite3.Connection, number: int | None, table: str, start: int, count: int, where: str) -> list[Scored]:
    rows: Sequence[tuple[Member, float]] = db.execute(
        f"SELECT member, score FROM {table} WHERE key = ? AND {where} AND {NUMBER}"
        " ORDER BY score DESC, member DESC LIMIT ? OFFSET ?",
        (number, count, start),
    ).fetchall()
    return [(shown(member), score) for member, score in rows]
