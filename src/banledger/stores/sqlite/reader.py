"""The embedded engine, to read: one SQLite file, its tables shaped as the store's hashes, sets and sorted sets.

`item` holds hashes whose keys end in an id (see `items`). `key` names every other key once and knows the size of its
set; the other tables refer to it by number. `tally` holds the sorted sets that are only added up, `ranking` those that
are read by rank and so have an index by score. Ids are members packed (see `stored_id`), but not in `tally`, which has
none. Files of format 1 have no items and no packed ids; all else is the same.
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
from banledger.stores.sqlite.items import Items
from banledger.stores.sqlite.packed_hash import MOST_BYTES, NO_HASH, TOO_LONG, unpack_hash
from banledger.stores.sqlite.ranks import NUMBER, page
from banledger.stores.sqlite.stored_id import ID_LENGTH, NO_ID, OURS, PACKED_LENGTH, Member, item_key, shown, stored

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

_PAGE = 1000

# The fields of a hash; text: why they can't be read; NULL: there are none.
_FIELDS = (
    f"CASE WHEN kind <> 'hash' THEN iif({_EXISTS}, 'holds no hash', NULL)"
    f" WHEN length(fields) > {MOST_BYTES} THEN '{TOO_LONG}' ELSE CAST(fields AS BLOB) END"
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
        (format_,) = connection.execute("PRAGMA user_version").fetchone()
        self._items = Items() if format_ > 1 else None
        self._ours = OURS if self._items else NO_ID

    def close(self) -> None:
        """See Reader.close."""
        self._db.close()

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        with translated(self.path):
            items = self._items.find(self._db, keys) if self._items else {}
            named = self._named(self._maybe_named([key for key in keys if key not in items]))
        return [unpack_hash(items[key]) if key in items else _hash(named[key]) if key in named else {} for key in keys]

    def _maybe_named(self, keys: list[str]) -> list[str]:
        """Return the keys without those of absent items, if no name begins as they do and goes on with a digit."""
        heads = {key: key[:-ID_LENGTH] for key in keys if self._items and item_key(key)}
        exists = "SELECT EXISTS (SELECT 1 FROM key WHERE name >= ?1 || '0' AND name < ?1 || ':')"
        named = {head for head in {*heads.values()} if self._db.execute(exists, (head,)).fetchone()[0]}
        return [key for key in keys if key not in heads or heads[key] in named]

    def _named(self, keys: Sequence[str]) -> dict[str, object]:
        found: dict[str, object] = {}
        for some in pages(keys, _PAGE):
            found.update(
                self._db.execute(
                    f"SELECT name, {_FIELDS} FROM json_each(?) JOIN key ON name = value"
                    " LEFT JOIN hash ON hash.key = key.id",
                    (as_json(some),),
                )
            )
        return found

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> list[list[str | None]]:
        """See Reader.fields."""
        return [[fields.get(name) for name in names] for fields in self.hashes(keys)]

    def select(self, _selection: Selection) -> Selected | None:
        """See Reader.select."""
        return None

    def members(self, key: str) -> Iterator[str]:
        """See Reader.members."""
        last: tuple[bool, Member] = (False, "")
        with translated(self.path):
            while found := self._db.execute(
                "SELECT member FROM member WHERE key = (SELECT id FROM key WHERE name = ?) AND member > ?"
                f" AND {self._ours} ORDER BY member LIMIT ?",
                (key, last[1], _PAGE),
            ).fetchall():
                yield from [shown(member) for (member,) in found]
                last = beyond(last, (isinstance(found[-1][0], bytes), found[-1][0]), self.path)

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        """See Reader.sizes."""
        with translated(self.path):
            return self._sizes(keys) if least == -inf else [self._from(key, least) for key in keys]

    def _sizes(self, keys: Sequence[str]) -> list[int]:
        found: dict[str, int] = {}
        for some in pages(keys, _PAGE):
            found.update(
                self._db.execute(
                    f"SELECT name, {_CARD} FROM json_each(?) JOIN key ON name = value",
                    (as_json(some),),
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
        wanted = [stored(member) for member in members] if self._items and table == "ranking" else members
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

    def lowest(self, key: str, until: float, count: int) -> list[str]:
        """See Reader.lowest."""
        with translated(self.path):
            number, table = self._sorted_set(key)
            rows = self._db.execute(
                f"SELECT member FROM {table} WHERE key = ? AND score <= ?"
                f" AND {NO_ID if table == 'tally' else self._ours} ORDER BY score, member LIMIT ?",
                (number, until, count),
            )
            return [shown(member) for (member,) in rows]

    def kinds(self, keys: Sequence[str]) -> list[str]:
        """See Reader.kinds."""
        found: dict[str, object] = {}
        with translated(self.path):
            for some in pages(keys, _PAGE):
                found.update(
                    self._db.execute(
                        f"SELECT name, kind FROM json_each(?) JOIN key ON name = value WHERE {_EXISTS}",
                        (as_json(some),),
                    )
                )
            found.update(dict.fromkeys(self._items.find(self._db, keys) if self._items else (), HASH))
        return [_REDIS_KIND.get(str(found[key]), "unknown") if key in found else "none" for key in keys]

    def keys(self, pattern: str) -> Iterator[str]:
        """See Reader.keys."""
        last = -(1 << 63)
        with translated(self.path):
            while found := self._db.execute(
                f"SELECT id, name FROM key WHERE name GLOB ? AND name < x'' AND id > ? AND {_EXISTS}"
                " ORDER BY id LIMIT ?",
                (pattern, last, _PAGE),
            ).fetchall():
                yield from (name for _, name in found)
                last = beyond(last, found[-1][0], self.path)
            if self._items:
                yield from self._items.keys(self._db, self.path, pattern)


def _as_json(members: Sequence[Member]) -> tuple[str, bytes]:
    """Return members as JSON, and packed ids one after another: in JSON stands where each begins, from 1."""
    ids = [member for member in members if isinstance(member, bytes)]
    places = iter(range(1, PACKED_LENGTH * len(ids) + 1, PACKED_LENGTH))
    texts = [next(places) if isinstance(member, bytes) else member for member in members]
    return msgspec.json.encode(texts).decode(), b"".join(ids)


def _hash(fields: object) -> Hash:
    """A hash as its row has it; see `_FIELDS`."""
    if fields is None:
        return {}
    try:
        found = _hash_decoder.decode(fields) if isinstance(fields, bytes) else {UNREADABLE: str(fields)}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {UNREADABLE: NO_HASH}
    if isinstance(fields, bytes):
        found.pop("", None)  # no ledger's, and the name is `UNREADABLE`
    return found
