"""The sizes of sorted sets, known without counting: one may have millions of members.

`card` of a tally or a ranking is the number of its members; 0: not known, and a reader counts. A writer counts from
time to time, then keeps the size of what it adds to, and forgets that of whatever it writes in another way.
"""

import sqlite3
from collections.abc import Iterable, Mapping

_TALLIED = "SELECT count(*) FROM tally WHERE tally.key = key.id"
_RANKED = "SELECT count(*) FROM ranking WHERE ranking.key = key.id"
_MARKED = "SELECT count(*) FROM mark WHERE mark.key = key.id"

CARD = (
    "CASE WHEN CAST(card AS INTEGER) > 0 THEN CAST(card AS INTEGER)"
    f" WHEN kind = 'tally' THEN ({_TALLIED}) WHEN kind = 'ranking' THEN ({_RANKED}) + ({_MARKED}) ELSE 0 END"
)
"""The size of what a row of `key` names, in SQL: 1 for a hash."""


def count_sizes(db: sqlite3.Connection) -> None:
    """Count what is not known. Not marks: bans come into force and run out all the time, and are few."""
    db.execute(
        f"UPDATE key SET card = iif(kind = 'tally', ({_TALLIED}), ({_RANKED})) WHERE kind IN ('tally', 'ranking')"
        " AND card = 0 AND NOT EXISTS (SELECT 1 FROM mark WHERE mark.key = key.id)"
    )


def add_to_sizes(db: sqlite3.Connection, more: Mapping[int, int]) -> None:
    """Add to the sizes that are known, by the key's number."""
    grown = [(members, number) for number, members in more.items() if members]
    db.executemany("UPDATE key SET card = card + ? WHERE id = ? AND card > 0", grown)


def forget_sizes(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Forget the sizes of these keys."""
    db.executemany("UPDATE key SET card = 0 WHERE id = ? AND card <> 0", [(number,) for number in numbers])
