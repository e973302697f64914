"""Glob patterns of `Reader.keys`, matched as SQLite matches them."""

import sqlite3
from collections.abc import Sequence

from banledger.stores.sqlite.file import as_json

_SPECIAL = "*?["


def literal_head(pattern: str) -> str:
    """Return the beginning of a pattern that every match begins with."""
    return pattern[: min((pattern.index(char) for char in _SPECIAL if char in pattern), default=len(pattern))]


def matching(db: sqlite3.Connection, names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that match."""
    rows = db.execute("SELECT value FROM json_each(?) WHERE value GLOB ?", (as_json(names), pattern))
    return [name for (name,) in rows]
