"""The embedded engine, to read: one SQLite file, its tables shaped as the store's hashes, sets and sorted sets.

`item` holds hashes whose keys end in an id (see `items`). `key` names every other key once and knows the size of its
set (see `sizes`); the other tables refer to it by number. `tally` holds the sorted sets that are only added up. Of
those that are read by rank, `mark` holds the members that are ids, in order by score, and `ranking` all others, with an
index of the higher scores. Members that are ids are packed (see `stored_id`), but not in `tally`, which has none. Files
of format 1 have no items, no marks and no packed ids; all else is the same.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path

import msgspec

from banledger.errors import LedgerMissing
from banledger.stores.api import Hash, StoreDetails
from banledger.stores.fields import UNREADABLE
from banledger.stores.id_form import ID_LENGTH
from banledger.stores.pages import pages
from banledger.stores.selection import Cells, Projection, Selected, Selection
from banledger.stores.sqlite.derived import DerivedSets
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
    size_of,
    translated,
)
from banledger.stores.sqlite.glob import matching
from banledger.stores.sqlite.ids import unpack_id
from banledger.stores.sqlite.items import Items
from banledger.stores.sqlite.kept import KeptRows, readable
from banledger.stores.sqlite.packed_hash import MOST_BYTES, NO_HASH, TOO_LONG, unpack_hash
from banledger.stores.sqlite.rows import RowReader, is_damage
from banledger.stores.sqlite.sizes import CARD
from banledger.stores.sqlite.sorted_sets import SortedSets
from banledger.stores.sqlite.stored_id import Member, item_key, shown

_EXISTS = (
    "CASE kind WHEN 'tally' THEN EXISTS (SELECT 1 FROM tally WHERE tally.key = key.id)"
    " WHEN 'ranking' THEN EXISTS (SELECT 1 FROM ranking WHERE ranking.key = key.id)"
    " OR EXISTS (SELECT 1 FROM mark WHERE mark.key = key.id) ELSE card <> 0 END"
)
_PAGE = 1000
_FAULTS = 20  # of the file that are named

# The fields of a hash; text: why they can't be read; NULL: there are none.
_FIELDS = (
    f"CASE WHEN kind <> 'hash' THEN iif({_EXISTS}, 'holds no hash', NULL)"
    f" WHEN length(fields) > {MOST_BYTES} THEN '{TOO_LONG}' ELSE CAST(fields AS BLOB) END"
)

_REDIS_KIND = {HASH: "hash", SET: "set", TALLY: "zset", RANKING: "zset"}

_hash_decoder = msgspec.json.Decoder(Hash)


def open_reader(path: Path, projection: Projection | None = None) -> "SqliteReader":
    """The ledger at `path`, to read. `projection`: its rows. Raises LedgerMissing, NotALedger, StoreUnavailable."""
    if not is_there(path):
        raise LedgerMissing(
            f"there is no ledger at {path}",
            hint="set banledger up (sudo banledger setup) or start its service (systemctl start banledger);"
            " or name another with --store or BANLEDGER_STORE",
        )
    with translated(path):
        connection = connect(path, "ro")
        try:
            check_header(connection, path)
        except BaseException:
            connection.close()
            raise
    return SqliteReader(connection, path, projection)


class SqliteReader(SortedSets):
    """See `api.Reader`."""

    merge_limit = 200_000

    def __init__(self, connection: sqlite3.Connection, path: Path, projection: Projection | None = None) -> None:
        (format_,) = connection.execute("PRAGMA user_version").fetchone()
        if format_ == 1:
            connection.execute("CREATE TEMP TABLE mark (key, score, id)")  # empty, and in memory
        super().__init__(connection, path, packed=format_ > 1)
        self._items = Items() if format_ > 1 else None
        self._kept_rows = RowReader(connection, projection) if projection and format_ > 1 else None
        self._derived = DerivedSets(self, projection) if projection and format_ > 1 else None

    def close(self) -> None:
        """See Reader.close."""
        self._db.close()

    def details(self) -> StoreDetails:
        """See Reader.details."""
        return StoreDetails(
            str(self.path), f"SQLite {sqlite3.sqlite_version}", size_of(self.path), of_server=False, clock=time.time()
        )

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

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> Iterator[list[str | None]]:
        """See Reader.fields."""
        for some in pages(keys, _PAGE):
            for fields in self.hashes(some):
                yield [fields.get(name) for name in names]

    def select(self, selection: Selection) -> Selected | None:
        """See Reader.select."""
        return KeptRows(self._kept_rows, selection, self._snapshot) if self._kept_rows else None

    def rows(self) -> Iterator[tuple[str, Cells]] | None:
        """See Reader.rows."""
        if self._kept_rows is None:
            return None
        return self._all_rows(self._kept_rows)

    def _all_rows(self, kept: RowReader) -> Iterator[tuple[str, Cells]]:
        with translated(self.path), readable():
            for id_, cells in kept.all():
                yield unpack_id(id_), cells

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """See one state of the rows."""
        with translated(self.path):
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def members(self, key: str) -> Iterator[str]:
        """See Reader.members."""
        if self._derived and (derived := self._derived.find(key)):
            yield from self._derived.members(derived)
            return
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
            if least > -inf:
                return [self._from(key, least) for key in keys]
            derived = self._derived.sizes(keys) if self._derived else {}
            stored = iter(self._sizes([key for key in keys if key not in derived]))
            return [derived[key] if key in derived else next(stored) for key in keys]

    def _sizes(self, keys: Sequence[str]) -> list[int]:
        found: dict[str, int] = {}
        for some in pages(keys, _PAGE):
            found.update(
                self._db.execute(
                    f"SELECT name, {CARD} FROM json_each(?) JOIN key ON name = value",
                    (as_json(some),),
                )
            )
        return [found.get(key, 0) for key in keys]

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
        if self._derived:
            missing = [key for key in keys if key not in found]
            found.update((key, SET) for key, size in self._derived.sizes(missing).items() if size)
        return [_REDIS_KIND.get(str(found[key]), "unknown") if key in found else "none" for key in keys]

    def damage(self) -> Iterator[str]:
        """See Reader.damage: SQLite's own check of every page of the file, and of indexes."""
        with translated(self.path):
            try:
                found = self._db.execute(f"PRAGMA integrity_check({_FAULTS})").fetchall()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                found = [(error,)]  # it gave up
        yield from [" ".join(str(what).split()) for (what,) in found if what != "ok"]

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
            for some in pages(self._derived.keys(pattern) if self._derived else ()):
                yield from matching(self._db, some, pattern)


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
