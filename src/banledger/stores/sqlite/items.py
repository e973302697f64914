"""Hashes whose keys end in an id, such as bans: one compressed row each, and no row in `key`.

    head   numbers of heads: what stands before the ids, without the month (`bans:{}:ban:`)
    item   number of the head, the packed id, the packed hash

A row of an item holds a hash and nothing else. If somebody made such a key a set, it has a row in `key` by its name;
the engine sees to it that a key is never in both.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from banledger.stores.api import Hash
from banledger.stores.pages import pages
from banledger.stores.sqlite.file import beyond
from banledger.stores.sqlite.glob import literal_head, matching
from banledger.stores.sqlite.inserts import insert
from banledger.stores.sqlite.packed_hash import MOST_BYTES, TOO_LONG, pack_hash
from banledger.stores.sqlite.stored_id import PACKED, PACKED_LENGTH, item_key, key_of_item, packed_id, places

_PAGE = 1000

# Ids come in one blob, because JSON has none. Rows longer than any that is read are not fetched.
_FIND = (
    f"SELECT item.id, iif(length(fields) > {MOST_BYTES}, '{TOO_LONG}', CAST(fields AS BLOB))"
    " FROM json_each(?) AS offset CROSS JOIN item ON head = ? AND item.id = substr(?, offset.value, ?)"
)


class Items:
    """The items of one file: where they are, read and written. Knows the numbers of heads that it has seen."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def find(self, db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, bytes | str]:
        """Return the rows (see `unpack_hash`) of those keys that have an item; as text: why one can't be read."""
        keys_of: dict[str, dict[bytes, str]] = defaultdict(dict)
        for key in keys:
            if item := item_key(key):
                keys_of[item[0]][item[1]] = key
        found: dict[str, bytes | str] = {}
        for head, named in keys_of.items():
            if (number := self._number(db, head)) is not None:
                for page in pages(named, _PAGE):
                    for id_, fields in _rows(db, number, page):
                        if id_ in named:  # a damaged file returns any
                            found[named[id_]] = fields
        return found

    def keys(self, db: sqlite3.Connection, path: Path, pattern: str) -> Iterator[str]:
        """Return the keys of items that match a pattern, see Reader.keys."""
        literal = literal_head(pattern)
        for number, head in db.execute("SELECT id, name FROM head WHERE name < x''").fetchall():
            for page in _ids(db, path, number, _span(head, literal)):
                names = [name for name in (key_of_item(head, id_) for id_ in page) if name.startswith(literal)]
                yield from names if pattern == literal + "*" else matching(db, names, pattern)

    def put(self, db: sqlite3.Connection, hashes: Iterable[tuple[str, Hash]]) -> list[tuple[str, Hash]]:
        """Write the hashes that are items; return the others."""
        rows, others, known = [], [], self._numbers
        for key, fields in hashes:
            if item := item_key(key):
                rows.append((known.get(item[0]) or self._numbered(db, item[0]), item[1], pack_hash(fields)))
            else:
                others.append((key, fields))
        insert(db, "INSERT OR REPLACE INTO item", sorted(rows))
        return others

    def drop(self, db: sqlite3.Connection, keys: Iterable[str]) -> None:
        """Remove the items of those keys that have one."""
        items = [item for key in keys if (item := item_key(key))]
        rows = [(number, id_) for head, id_ in items if (number := self._number(db, head)) is not None]
        if rows:
            db.executemany("DELETE FROM item WHERE head = ? AND id = ?", rows)

    def forget(self) -> None:
        """Numbers of heads may not be as they were seen: a transaction was rolled back."""
        self._numbers.clear()

    def _number(self, db: sqlite3.Connection, head: str) -> int | None:
        if head not in self._numbers:
            if (row := db.execute("SELECT id FROM head WHERE name = ?", (head,)).fetchone()) is None:
                return None
            self._numbers[head] = row[0]
        return self._numbers[head]

    def _numbered(self, db: sqlite3.Connection, head: str) -> int:
        """Return the number of a head, which is given one if it has none."""
        if (number := self._number(db, head)) is None:
            (number,) = db.execute("INSERT INTO head (name) VALUES (?) RETURNING id", (head,)).fetchone()
            self._numbers[head] = number
        return number


def _rows(db: sqlite3.Connection, number: int, ids: Sequence[bytes]) -> sqlite3.Cursor:
    return db.execute(_FIND, (places(len(ids)), number, b"".join(ids), PACKED_LENGTH))


def _ids(db: sqlite3.Connection, path: Path, number: int, span: tuple[bytes, bytes] | None) -> Iterator[list[bytes]]:
    """Return the ids of a head above one and below another, in pages."""
    last, end = span or (b"", b"")
    while page := db.execute(
        f"SELECT id FROM item WHERE head = ? AND id > ? AND id < ? AND {PACKED.format(column='id')}"
        f" ORDER BY id LIMIT {_PAGE}",
        (number, last, end),
    ).fetchall():
        yield [id_ for (id_,) in page]
        last = beyond(last, page[-1][0], path)


def _span(head: str, literal: str) -> tuple[bytes, bytes] | None:
    """Return ids between which all keys of a head lie that begin with a text; None: there are none."""
    before, no_month, _ = head.partition("{}")
    if no_month and literal.startswith(before + "{"):
        month = literal[len(before) + 1 :][:4]
        first = packed_id(f"{month}01{'0' * 14}")
        if len(month) == 4:
            return (first[:4], (int.from_bytes(first[:4], "big") + 32 * 86_400).to_bytes(4, "big")) if first else None
    start = before + "{" * bool(no_month)
    same = min(len(start), len(literal))
    return (b"", b"\xff") if start[:same] == literal[:same] else None
