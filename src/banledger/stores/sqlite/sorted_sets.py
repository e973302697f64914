"""The sorted sets of an embedded ledger: tallies, which are only added up; rankings, which have an index by score."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path

import msgspec

from banledger.stores.api import Scored
from banledger.stores.fields import count_of
from banledger.stores.sqlite.file import RANKING, TALLY, as_json, translated
from banledger.stores.sqlite.ranks import NUMBER, page
from banledger.stores.sqlite.stored_id import NO_ID, OURS, PACKED_LENGTH, Member, shown, stored

_TABLE_OF = {TALLY: "tally", RANKING: "ranking"}


class SortedSets:
    """Reads them. See `api.Reader`. `packed`: ids are members packed."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, packed: bool) -> None:
        self._db = connection
        self.path = path
        self._packed = packed
        self._ours = OURS if packed else NO_ID

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. Members come as one text a key, and most count 1: those get no row and no look each."""
        total: Counter[str] = Counter()
        listed = (as_json(keys),)
        with translated(self.path):
            for (members,) in self._db.execute(
                "SELECT (SELECT group_concat(member, '\n') FROM tally WHERE tally.key = key.id"
                f" AND {NO_ID} AND {NUMBER})"
                " FROM json_each(?) JOIN key ON name = value",
                listed,
            ):
                total.update(members.split("\n") if members is not None else ())
            for member, score in self._db.execute(
                "SELECT member, score FROM json_each(?) JOIN key ON name = value JOIN tally ON tally.key = key.id"
                f" WHERE score <> 1 AND {NO_ID} AND {NUMBER}",
                listed,
            ):
                total[member] += count_of(score) - 1
        return total

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """See Reader.scores."""
        with translated(self.path):
            return [self._scores(*self._sorted_set(key), members) for key in keys]

    def _scores(self, number: int | None, table: str, members: Sequence[str]) -> list[float | None]:
        wanted = [stored(member) for member in members] if self._packed and table == "ranking" else members
        texts, ids = _as_json(wanted)
        rows = self._db.execute(
            f"SELECT score FROM json_each(?) LEFT JOIN {table} ON {table}.key = ? AND {NUMBER}"
            f" AND member = iif(type = 'integer', substr(?, value, {PACKED_LENGTH}), value) ORDER BY json_each.key",
            (texts, number, ids),
        )
        return [score for (score,) in rows]

    def _sorted_set(self, key: str) -> tuple[int | None, str]:
        """The number of a sorted set (None, which equals no number: there is none), and its table."""
        row = self._db.execute("SELECT id, kind FROM key WHERE name = ?", (key,)).fetchone()
        if row is None or row[1] not in (TALLY, RANKING):
            return None, "ranking"
        return row[0], _TABLE_OF[row[1]]

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        """See Reader.ranking."""
        with translated(self.path):
            number, table = self._sorted_set(key)
            return page(self._db, number, table, start, count, NO_ID if table == "tally" else self._ours)

    def _from(self, key: str, least: float) -> int:
        number, table = self._sorted_set(key)
        row = self._db.execute(
            f"SELECT count(*) FROM {table} WHERE key = ? AND score >= ? AND {NUMBER}", (number, least)
        )
        return int(row.fetchone()[0])

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        """See Reader.lowest."""
        least = "" if above == -inf else "AND score > :above"
        with translated(self.path):
            number, table = self._sorted_set(key)
            rows = self._db.execute(
                f"SELECT member, score FROM {table} WHERE key = :number AND score <= :until {least}"
                f" AND {NO_ID if table == 'tally' else self._ours} ORDER BY score, member LIMIT :count",
                {"number": number, "until": until, "above": above, "count": count},
            )
            return [(shown(member), score) for member, score in rows]


def _as_json(members: Sequence[Member]) -> tuple[str, bytes]:
    """Return members as JSON, and packed ids one after another: in JSON stands where each begins, from 1."""
    ids = [member for member in members if isinstance(member, bytes)]
    places = iter(range(1, PACKED_LENGTH * len(ids) + 1, PACKED_LENGTH))
    texts = [next(places) if isinstance(member, bytes) else member for member in members]
    return msgspec.json.encode(texts).decode(), b"".join(ids)
