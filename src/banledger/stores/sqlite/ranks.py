"""Where the members of a sorted set are, and how each table is read in the order of the contract.

The order is by score, and equal ones by the member's text. Packed ids in `mark` sort as their texts.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from pathlib import Path

from msgspec import Struct

from banledger.stores.api import Scored
from banledger.stores.sqlite.file import INDEXED_FROM, as_json, beyond
from banledger.stores.sqlite.stored_id import LISTED, MARKED, NO_ID, RANKED, Member, places, ranked, shown

NUMBER = "score < ''"
"""Whether a score is a number, in SQL: numbers stand before text, and text before bytes."""


_PAGE = 10_000


class ScoreTable(Struct, frozen=True):
    """A table with members of sorted sets.

    member  the column of the member
    ours    which members a writer stores, in SQL
    indexed which scores are in an index, in SQL; empty: all. For others all members of a key are searched
    """

    table: str
    member: str
    ours: str
    indexed: str = ""

    def highest(self, db: sqlite3.Connection, number: int, start: int, count: int) -> list[Scored]:
        """Return a page of a sorted set, see Reader.ranking."""
        for scores in filter(None, (self.indexed, NUMBER)):
            rows = db.execute(
                f"SELECT {self.member}, score FROM {self.table} WHERE key = ? AND {self.ours} AND {scores} AND {NUMBER}"
                f" ORDER BY score DESC, {self.member} DESC LIMIT ? OFFSET ?",
                (number, count, start),
            ).fetchall()
            if len(rows) == count:
                break
        return _once(rows)

    def lowest(self, db: sqlite3.Connection, number: int, until: float, count: int, above: float) -> list[Scored]:
        """Return the first members, see Reader.lowest."""
        least = "" if above == -inf else "AND score > :above"
        rows = db.execute(
            f"SELECT {self.member}, score FROM {self.table} WHERE key = :number AND score <= :until {least}"
            f" AND {self.ours} ORDER BY score, {self.member} LIMIT :count",
            {"number": number, "until": until, "above": above, "count": count},
        )
        return _once(rows)

    def entries(self, db: sqlite3.Connection, number: int, path: Path) -> Iterator[Scored]:
        """Return all members, see Reader.entries. By member, because no index has all scores in their order."""
        above, last = ">=", ""
        while rows := db.execute(
            f"SELECT member, score FROM {self.table} WHERE key = ? AND member {above} ? AND {self.ours} AND {NUMBER}"
            " ORDER BY member LIMIT ?",
            (number, last, _PAGE),
        ).fetchall():
            yield from rows
            last = beyond(last, rows[-1][0], path) if above == ">" else rows[-1][0]
            above = ">"

    def at_least(self, db: sqlite3.Connection, number: int, least: float) -> int:
        """Return the number of members with that score or a higher one."""
        scores = self.indexed if self.indexed and least >= INDEXED_FROM else NUMBER
        row = db.execute(
            f"SELECT count(*) FROM {self.table} WHERE key = ? AND score >= ? AND {scores} AND {NUMBER}", (number, least)
        ).fetchone()
        return int(row[0])

    def scores(self, db: sqlite3.Connection, number: int, members: Sequence[str]) -> list[float | None]:
        """Return the scores of members in their order; None: it has none."""
        rows = db.execute(
            f"SELECT score FROM json_each(?) LEFT JOIN {self.table} ON {self.table}.key = ? AND {NUMBER}"
            f" AND {self.member} = value AND {self.ours} ORDER BY json_each.key",
            (as_json(members), number),
        )
        return [score for (score,) in rows]


class _Marks(ScoreTable, frozen=True):
    """Ids. There is no index by id: to find scores, all marks of a key are searched."""

    def scores(self, db: sqlite3.Connection, number: int, members: Sequence[str]) -> list[float | None]:
        ids = [id_ for member in members if isinstance(id_ := ranked(member), bytes)]
        rows = db.execute(
            f"SELECT id, max(score) FROM mark WHERE key = ? AND {NUMBER} AND id IN ({LISTED}) GROUP BY id",
            (number, b"".join(ids), places(len(ids))),
        )
        found = {shown(id_): score for id_, score in rows.fetchall()} if ids else {}
        return [found.get(member) for member in members]

    def entries(self, db: sqlite3.Connection, number: int, path: Path) -> Iterator[Scored]:
        after, last = "", (-inf, b"")
        while rows := db.execute(
            f"SELECT score, id FROM mark WHERE key = ? {after} AND {self.ours} AND {NUMBER} ORDER BY score, id LIMIT ?",
            (number, *(last if after else ()), _PAGE),
        ).fetchall():
            yield from {shown(id_): score for score, id_ in rows}.items()
            last = beyond(last, rows[-1], path) if after else rows[-1]
            after = "AND (score, id) > (?, ?)"


TALLIED = ScoreTable("tally", "member", NO_ID)
"""The members of tallies."""

OLD = ScoreTable("ranking", "member", NO_ID)
"""The members of all other sorted sets in files of format 1."""

TEXTS = ScoreTable("ranking", "member", RANKED, f"score >= {INDEXED_FROM}")
"""Their members that are no ids."""

MARKS = _Marks("mark", "id", MARKED)
"""Their members that are ids."""


def _once(rows: Iterable[tuple[Member, float]]) -> list[Scored]:
    """Return each member once: another program may have given a second score to an id."""
    found: dict[Member, float] = {}
    for member, score in rows:
        found.setdefault(member, score)
    return [(shown(member), score) for member, score in found.items()]
