"""The sorted sets of an embedded ledger: tallies, which are only added up, and others, which are read by score."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

from banledger.stores.api import Scored
from banledger.stores.fields import MOST_NUMBER, count_of
from banledger.stores.sqlite.file import RANKING, TALLY, as_json, translated
from banledger.stores.sqlite.ranks import MARKS, NUMBER, OLD, TALLIED, TEXTS, ScoreTable
from banledger.stores.sqlite.stored_id import NO_ID, OURS

_HAS = "SELECT EXISTS (SELECT 1 FROM ranking WHERE key = ?1), EXISTS (SELECT 1 FROM mark WHERE key = ?1)"


class SortedSets:
    """Reads sorted sets. See `api.Reader`. `packed`: whether members that are ids are packed."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, packed: bool) -> None:
        self._db = connection
        self.path = path
        self._packed = packed
        self._ours = OURS if packed else NO_ID

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. Many members count 1: those come as one text a key, without a row and a look each."""
        total: Counter[str] = Counter()
        get = total.get
        listed = (as_json(keys),)
        with translated(self.path):
            for (members,) in self._db.execute(
                "SELECT (SELECT group_concat(member, '\n') FROM tally WHERE tally.key = key.id"
                f" AND score = 1 AND {NO_ID})"
                " FROM json_each(?) JOIN key ON name = value",
                listed,
            ):
                total.update(members.split("\n") if members is not None else ())
            for member, score in self._db.execute(
                "SELECT member, score FROM json_each(?) JOIN key ON name = value JOIN tally ON tally.key = key.id"
                f" WHERE score <> 1 AND {NO_ID} AND {NUMBER}",
                listed,
            ):
                total[member] = get(member, 0) + (int(score) if 0 < score <= MOST_NUMBER else count_of(score))
        return total

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """See Reader.scores."""
        with translated(self.path):
            return [self._scores(key, members) for key in keys]

    def _scores(self, key: str, members: Sequence[str]) -> list[float | None]:
        number, tables = self._tables(key)
        found = [table.scores(self._db, number, members) for table in tables]
        if len(found) < 2:
            return found[0] if found else [None] * len(members)
        return [one if other is None else other for one, other in zip(*found, strict=True)]

    def _tables(self, key: str) -> tuple[int, list[ScoreTable]]:
        """Return the number of a sorted set, and where it has members."""
        number, kind = self._db.execute("SELECT id, kind FROM key WHERE name = ?", (key,)).fetchone() or (0, "")
        if kind == TALLY:
            return number, [TALLIED]
        if kind != RANKING:
            return 0, []
        has = zip((TEXTS if self._packed else OLD, MARKS), self._db.execute(_HAS, (number,)).fetchone(), strict=True)
        return number, [table for table, there in has if there]

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        """See Reader.ranking."""
        with translated(self.path):
            number, tables = self._tables(key)
            if len(tables) == 1:
                return tables[0].highest(self._db, number, start, count)
            found = [one for table in tables for one in table.highest(self._db, number, 0, start + count)]
            return sorted(found, key=_by_score, reverse=True)[start : start + count]

    def entries(self, key: str) -> Iterator[Scored]:
        """See Reader.entries."""
        with translated(self.path):
            number, tables = self._tables(key)
            for table in tables:
                yield from table.entries(self._db, number, self.path)

    def _from(self, key: str, least: float) -> int:
        number, tables = self._tables(key)
        return sum(table.at_least(self._db, number, least) for table in tables)

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        """See Reader.lowest."""
        with translated(self.path):
            number, tables = self._tables(key)
            found = [one for table in tables for one in table.lowest(self._db, number, until, count, above)]
            return sorted(found, key=_by_score)[:count] if len(tables) > 1 else found


def _by_score(one: Scored) -> tuple[float, str]:
    return one[1], one[0]
