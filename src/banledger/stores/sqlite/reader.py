"""The embedded engine, to read: one SQLite file, its tables shaped as the store's hashes, sets and sorted sets.

`key` names every key once and knows the size of its set; the other tables refer to it by number. `tally` holds the
sorted sets that are only added up, `ranking` those that are read by rank and so have an index by score.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

import msgspec

from banledger.errors import LedgerMissing
from banledger.stores.api import Hash, Scored
from banledger.stores.fields import UNREADABLE, count_of
from banledger.stores.pages import pages
from banledger.stores.selection import Selected, Selection
from banledger.stores.sqlite.file import (
    HASH,
    RANKING,
    SET,
    TALLY,
    as_json,
    beyond,
    check_header,
    connect,
    is_there,
    translated,
)

# `card` is the size of a set, 1 for a hash; sorted sets are counted when somebody asks.
_EXISTS = (
    "CASE kind WHEN 'tally' THEN EXISTS (SELECT 1 FROM tally WHERE tally.key = key.id)"
    " WHEN 'ranking' THEN EXISTS (SELECT 1 FROM ranking WHERE ranking.key = key.id) ELSE card <> 0 END"
)
_CARD = (
    "CASE kind WHEN 'tally' THEN (SELECT count(*) FROM tally WHERE tally.key = key.id)"
    " WHEN 'ranking' THEN (SELECT count(*) FROM ranking WHERE ranking.key = key.id)"
    " ELSE max(CAST(card AS INTEGER), 0) END"
)

# Numbers stand before text, and text before bytes, whatever a column's type: these hide what no writer put there.
_TEXT = "member < x''"
_NUMBER = "score < ''"

_PAGE = 1000
_MOST_HASH = 16 << 20  # bytes: more than any line of a spool

# The fields of a hash; text: why they can't be read; NULL: there are none.
_FIELDS = (
    f"CASE WHEN kind <> 'hash' THEN iif({_EXISTS}, 'holds no hash', NULL)"
    f" WHEN length(fields) > {_MOST_HASH} THEN 'is too long to be read' ELSE CAST(fields AS BLOB) END"
)

_TABLE_OF = {SET: "member", TALLY: "tally", RANKING: "ranking"}
_REDIS_KIND = {HASH: "hash", SET: "set", TALLY: "zset", RANKING: "zset"}

_hash_decoder = msgspec.json.Decoder(Hash)


def open_reader(path: Path) -> "SqliteReader":
    """The ledger at `path`, to read. Raises LedgerMissing, NotALedger, StoreUnavailable."""
    if not is_there(path):
        raise LedgerMissing(
            f"there is no ledger at {path}",
            hint="start the recorder (banledger record), or name another with --store or BANLEDGER_STORE",
        )
    with translated(path):
        connection = connect(path, "ro")
        try:
            check_header(connection, path)
        except BaseException:
            connection.close()
            raise
    return SqliteReader(connection, path)


class SqliteReader:
    """See `api.Reader`."""

    merge_limit = 200_000

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    def close(self) -> None:
        """See Reader.close."""
        self._db.close()

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        found: dict[str, object] = {}
        with translated(self.path):
            for page in pages(keys, _PAGE):
                found.update(
                    self._db.execute(
                        f"SELECT name, {_FIELDS} FROM json_each(?) JOIN key ON name = value"
                        " LEFT JOIN hash ON hash.key = key.id",
                        (as_json(page),),
                    )
                )
        return [_hash(found[key]) if key in found else {} for key in keys]

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> list[list[str | None]]:
        """See Reader.fields."""
        return [[fields.get(name) for name in names] for fields in self.hashes(keys)]

    def select(self, _selection: Selection) -> Selected | None:
        """See Reader.select."""
        return None

    def members(self, key: str) -> Iterator[str]:
        """See Reader.members."""
        last = ""
        with translated(self.path):
            while page := self._db.execute(
                "SELECT member FROM member WHERE key = (SELECT id FROM key WHERE name = ?) AND member > ?"
                f" AND {_TEXT} ORDER BY member LIMIT ?",
                (key, last, _PAGE),
            ).fetchall():
                yield from (member for (member,) in page)
                last = beyond(last, page[-1][0], self.path)

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        """See Reader.sizes."""
        with translated(self.path):
            return self._sizes(keys) if least == -inf else [self._from(key, least) for key in keys]

    def _sizes(self, keys: Sequence[str]) -> list[int]:
        found: dict[str, int] = {}
        for page in pages(keys, _PAGE):
            found.update(
                self._db.execute(
                    f"SELECT name, {_CARD} FROM json_each(?) JOIN key ON name = value",
                    (as_json(page),),
                )
            )
        return [found.get(key, 0) for key in keys]

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. Members come as one text a key, and most count 1: those get no row and no look each."""
        total: Counter[str] = Counter()
        listed = (as_json(keys),)
        with translated(self.path):
            for (members,) in self._db.execute(
                "SELECT (SELECT group_concat(member, '\n') FROM tally WHERE tally.key = key.id"
                f" AND {_TEXT} AND {_NUMBER})"
                " FROM json_each(?) JOIN key ON name = value",
                listed,
            ):
                total.update(members.split("\n") if members is not None else ())
            for member, score in self._db.execute(
                "SELECT member, score FROM json_each(?) JOIN key ON name = value JOIN tally ON tally.key = key.id"
                f" WHERE score <> 1 AND {_TEXT} AND {_NUMBER}",
                listed,
            ):
                total[member] += count_of(score) - 1
        return total

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """See Reader.scores."""
        wanted = as_json(members)
        with translated(self.path):
            return [
                [
                    score
                    for (score,) in self._db.execute(
                        f"SELECT score FROM json_each(?) LEFT JOIN {table} ON {table}.key = ? AND member = value"
                        f" AND {_NUMBER}"
                        " ORDER BY json_each.key",
                        (wanted, number),
                    )
                ]
                for number, table in map(self._sorted_set, keys)
            ]

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
            return self._db.execute(
                f"SELECT member, score FROM {table} WHERE key = ? AND {_TEXT} AND {_NUMBER}"
                " ORDER BY score DESC, member DESC LIMIT ? OFFSET ?",
                (number, count, start),
            ).fetchall()

    def _from(self, key: str, least: float) -> int:
        number, table = self._sorted_set(key)
        row = self._db.execute(
            f"SELECT count(*) FROM {table} WHERE key = ? AND score >= ? AND {_NUMBER}", (number, least)
        )
        return int(row.fetchone()[0])

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        """See Reader.lowest."""
        least = "" if above == -inf else "AND score > :above"
        with translated(self.path):
            number, table = self._sorted_set(key)
            return self._db.execute(
                f"SELECT member, score FROM {table} WHERE key = :number AND score <= :until {least} AND {_TEXT}"
                " ORDER BY score, member LIMIT :count",
                {"number": number, "until": until, "above": above, "count": count},
            ).fetchall()

    def kinds(self, keys: Sequence[str]) -> list[str]:
        """See Reader.kinds."""
        found: dict[str, object] = {}
        with translated(self.path):
            for page in pages(keys, _PAGE):
                found.update(
                    self._db.execute(
                        f"SELECT name, kind FROM json_each(?) JOIN key ON name = value WHERE {_EXISTS}",
                        (as_json(page),),
                    )
                )
        return [_REDIS_KIND.get(str(found[key]), "unknown") if key in found else "none" for key in keys]

    def keys(self, pattern: str) -> Iterator[str]:
        """See Reader.keys."""
        last = -(1 << 63)
        with translated(self.path):
            while page := self._db.execute(
                f"SELECT id, name FROM key WHERE name GLOB ? AND name < x'' AND id > ? AND {_EXISTS}"
                " ORDER BY id LIMIT ?",
                (pattern, last, _PAGE),
            ).fetchall():
                yield from (name for _, name in page)
                last = beyond(last, page[-1][0], self.path)


def _hash(fields: object) -> Hash:
    """A hash as its row has it; see `_FIELDS`."""
    if fields is None:
        return {}
    try:
        found = _hash_decoder.decode(fields) if isinstance(fields, bytes) else {UNREADABLE: str(fields)}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {UNREADABLE: "holds no hash"}
    if isinstance(fields, bytes):
        found.pop("", None)  # no ledger's, and the name is `UNREADABLE`
    return found
