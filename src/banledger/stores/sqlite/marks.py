"""Writes marks: entries of sorted sets whose members are ids, such as the bans in force. One row each, and no index.

A mark is found by its score. If that is not known, all marks of the key are searched, once for many ids.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from banledger.stores.sqlite.inserts import insert
from banledger.stores.sqlite.stored_id import LISTED, places

Mark: TypeAlias = tuple[int, float, bytes]
"""The number of the key, the score, the packed id: a row."""

TWICE = (
    "(key, score, id) IN (SELECT key, score, id FROM"
    " (SELECT *, row_number() OVER (PARTITION BY key, id ORDER BY score DESC) AS place FROM mark WHERE score < '')"
    " WHERE place > 1)"
)
"""Whether an id has a higher score too, in SQL."""


def put_marks(db: sqlite3.Connection, marks: Iterable[Mark]) -> int:
    """Write marks whose ids have no other score; return how many were not there."""
    return insert(db, "INSERT OR IGNORE INTO mark", sorted(marks))


def drop_marks(db: sqlite3.Connection, marks: Iterable[Mark]) -> None:
    """Remove marks."""
    db.executemany("DELETE FROM mark WHERE key = ? AND score = ? AND id = ?", sorted(marks))


def set_marks(db: sqlite3.Connection, number: int, scores: Mapping[bytes, float | None]) -> None:
    """Give ids these scores, whatever they had; None removes them."""
    forget_marks(db, number, scores)
    put_marks(db, _rows(number, scores))


def mend_marks(db: sqlite3.Connection, number: int, scores: Mapping[bytes, float | None]) -> None:
    """As `set_marks`, and quick if all is right. An id with two scores, of which one is right, may keep them."""
    rows = _rows(number, scores)
    if len(rows) < len(scores) or put_marks(db, rows):
        set_marks(db, number, scores)


def forget_marks(db: sqlite3.Connection, number: int, ids: Collection[bytes]) -> None:
    """Remove ids, whatever their scores are. New ids lie beyond all others, so most marks need one comparison."""
    db.execute(
        f"DELETE FROM mark WHERE key = ? AND id BETWEEN ? AND ? AND id IN ({LISTED})",
        (number, min(ids), max(ids), b"".join(ids), places(len(ids))),
    )


def _rows(number: int, scores: Mapping[bytes, float | None]) -> list[Mark]:
    return [(number, score, id_) for id_, score in scores.items() if score is not None]
