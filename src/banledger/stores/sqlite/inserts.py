"""Insert many rows, as many with one statement as fit: that takes half the time of a statement for each."""

import sqlite3
from collections.abc import Sequence
from itertools import chain

_AT_ONCE = 64  # more save next to nothing


def insert(db: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]], conflict: str = "") -> int:
    """Insert rows in their order; return how many were written. `into`, `conflict`: what stands around the values."""
    if not rows:
        return 0
    values = f"({', '.join('?' * len(rows[0]))})"
    many = len(rows) - len(rows) % _AT_ONCE
    blocks = [tuple(chain.from_iterable(rows[start : start + _AT_ONCE])) for start in range(0, many, _AT_ONCE)]
    written = db.executemany(f"{into} VALUES {', '.join([values] * _AT_ONCE)} {conflict}", blocks).rowcount
    return written + db.executemany(f"{into} VALUES {values} {conflict}", rows[many:]).rowcount
