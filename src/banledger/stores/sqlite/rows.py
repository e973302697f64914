"""The rows of an embedded ledger (see `selection`): recent ones one by one, older ones in packs.

Theory of operation. A hash that is written puts its row among the recent ones, where it takes the place of an older
row of the same id in a pack: that one is *hidden*. A recent row without cells says that there is none any more. From
time to time recent rows become part of packs (`compaction`). A row is written in the transaction of its hash, so it
always says what its hash says. All rows can be made again from the hashes.

Packs only save time. They are made in a transaction of their own, which may fail: bans are recorded all the same.
"""

import logging
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from math import inf
from operator import lt
from typing import Any, TypeAlias

from banledger.errors import StoreError
from banledger.stores.packs.pack import AFTER_ALL, BEFORE_ALL, PACK_ROWS, DamagedPack, Pack, Row, encode, lowest_key
from banledger.stores.packs.selected import Packed, Recent
from banledger.stores.selection import Cells, Projection, Selection
from banledger.stores.sqlite.compaction import LIMITS, Fold, Merge, in_packs, next_step
from banledger.stores.sqlite.inserts import insert
from banledger.stores.sqlite.sizes import count_sizes
from banledger.stores.sqlite.stored_id import IS_TEXT
from banledger.stores.sqlite.unpacked_ids import IS_ID, IS_ROW, UnpackedIds

_PARTS = 6  # bits of `part.number`: the pack's number << 6 | the part's
_NUMBERS = 1 << 56  # of packs; no writer gets that far, and numbers above have no parts
_NEWEST = 1024  # recent rows that are read first
_TOGETHER = 8  # packs whose ids are read at once
_STEPS = 32  # of compaction at once, while there are too many recent rows
_IS_PACK = (
    f"number BETWEEN 1 AND {_NUMBERS} AND rows BETWEEN 1 AND {PACK_ROWS}"
    " AND typeof(low) = 'blob' AND typeof(high) = 'blob'"
)

_PackRow: TypeAlias = tuple[int, int, bytes, bytes]  # number, rows, first and last id
_RecentRow: TypeAlias = tuple[bytes, str | None]  # id, cells with line feeds between

_log = logging.getLogger("banledger")


class RowReader:
    """Reads the rows of one prefix. Every answer is of one state only in a transaction."""

    def __init__(self, db: sqlite3.Connection, projection: Projection) -> None:
        self._db = db
        self.columns = projection.columns
        self._prefix = projection.prefix

    def all(self) -> Iterator[tuple[bytes, Cells]]:
        """Return every row with its packed id, oldest first; damaged packs count as empty. Nothing may write then."""
        after = BEFORE_ALL
        for pack in self._packs():
            recent = self._recent(after, pack[3])
            try:
                yield from self._joined(pack, recent)
            except DamagedPack:
                yield from _rows(recent)
            after = pack[3]
        yield from _rows(self._recent(after, AFTER_ALL))

    def sources(self, since: float | None, until: float | None) -> Iterator[Recent | Packed]:
        """Return all rows whose second may lie in a span (UTC epoch seconds, `until` excluded; None: open)."""
        low = BEFORE_ALL if since is None else lowest_key(since)
        high = AFTER_ALL if until is None else lowest_key(until)
        recent = self._recent(low, high)
        yield Recent([(id_, cells) for id_, cells in recent if cells])
        ids = [id_ for id_, _ in recent]
        for number, rows, first, last in reversed(self._packs(low, high)):
            hidden = ids[bisect_left(ids, first) : bisect_right(ids, last)]
            yield Packed(self._pack(number, rows), first, last, frozenset(hidden))

    def seconds(self, selection: Selection) -> list[int]:
        """Return seconds that divide the rows of a selection into parts that fit into memory, newest first.

        The first part is small: most questions need no more than the newest rows.
        """
        packs = [first for _, _, first, _ in reversed(self._packs())]
        recent = self._found(
            f"SELECT id FROM recent WHERE prefix = ? AND {IS_ID} ORDER BY id DESC LIMIT 1 OFFSET {_NEWEST}",
            self._prefix,
        )
        ids = [*[id_ for (id_,) in recent], *packs[:1], *packs[_TOGETHER::_TOGETHER]]
        since, until = selection.since or 0, inf if selection.until is None else selection.until
        seconds = {int.from_bytes(id_[:4], "big") for id_ in ids}
        return sorted([second for second in seconds if since < second < until], reverse=True)

    def _packs(self, low: bytes = BEFORE_ALL, high: bytes = AFTER_ALL) -> list[_PackRow]:
        """Return number, rows, first and last id of each pack that may have rows between two ids, oldest first."""
        return self._found(
            f"SELECT number, rows, low, high FROM pack WHERE prefix = ? AND {_IS_PACK} AND high >= ? AND low <= ?"
            " ORDER BY high",
            self._prefix,
            low,
            high,
        )

    def _recent(self, after: bytes, last: bytes) -> list[_RecentRow]:
        """Return the recent rows after one id up to another, oldest first. None: there is no row any more."""
        found = self._found(
            f"SELECT id, CAST(cells AS BLOB) FROM recent WHERE prefix = ? AND id > ? AND id <= ?"
            f" AND {IS_ID} AND {IS_ROW} ORDER BY id",
            self._prefix,
            after,
            last,
        )
        breaks = len(self.columns) - 1
        texts = [(id_, _text(cells) if cells else None) for id_, cells in found]
        return [row for row in texts if row[1] is None or row[1].count("\n") == breaks]

    def _pack(self, number: int, rows: int) -> Pack:
        return Pack(self.columns, rows, lambda part: self._part(number, part))

    def _part(self, pack: int, part: int) -> bytes:
        found = self._found("SELECT data FROM part WHERE number = ?", pack << _PARTS | part)
        return found[0][0] if found else b""

    def _found(self, question: str, *values: object) -> list[Any]:
        """Return the rows of a table that packs or recent rows are in. Raises DamagedPack if it is damaged."""
        try:
            return self._db.execute(question, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise (DamagedPack(str(error)) if is_damage(error) else error) from error

    def _joined(self, pack: _PackRow, recent: Sequence[_RecentRow]) -> list[Row]:
        """Return the rows of a pack as the recent ones change them, sorted."""
        rows = dict(self._rows_of(pack))
        for id_, _ in recent:
            rows.pop(id_, None)
        return sorted([*rows.items(), *_rows(recent)])

    def _rows_of(self, pack: _PackRow) -> list[Row]:
        """Return the rows of a pack. Raises DamagedPack, also if they are not those that it is found by."""
        number, rows, low, high = pack
        found = self._pack(number, rows).all_rows()
        ids = [id_ for id_, _ in found]
        if (ids[0], ids[-1]) != (low, high) or not all(map(lt, ids, ids[1:])):
            raise DamagedPack("a pack has other ids than it should have")
        return found


class RowWriter(RowReader):
    """Writes the rows of one prefix. Every method is called in a transaction."""

    limits = LIMITS

    def __init__(self, db: sqlite3.Connection, projection: Projection) -> None:
        super().__init__(db, projection)
        self._due = 0  # rows that may still be written before the next decision

    def put(self, rows: Mapping[bytes, Cells | None]) -> None:
        """Write rows; None: there is none."""
        insert(
            self._db,
            "INSERT OR REPLACE INTO recent",
            [(self._prefix, id_, "\n".join(cells) if cells else None) for id_, cells in sorted(rows.items())],
        )
        self._due -= len(rows)

    @property
    def is_due(self) -> bool:
        """Whether it is time to call `compact`."""
        return self._due < 0

    def compact(self) -> None:
        """Make packs of recent rows, or leave it. Raises DamagedPack; ValueError if rows can't be packed."""
        self._due = self.limits.look
        for _ in range(_STEPS):
            if self._step() <= self.limits.most:
                return

    def drop_removed(self) -> bool:
        """Write one pack again that still has rows that were removed; return whether there was one.

        Raises DamagedPack.
        """
        gone = f"SELECT id FROM recent WHERE prefix = ? AND cells IS NULL AND {IS_ID} ORDER BY id LIMIT 1"
        found = self._db.execute(gone, (self._prefix,)).fetchone()
        if found is None:
            return False
        packs = self._packs()
        place = bisect_left([high for _, _, _, high in packs], found[0])
        if place == len(packs):
            self._db.execute(
                "DELETE FROM recent WHERE prefix = ? AND cells IS NULL AND id >= ?", (self._prefix, *found)
            )
            return True
        pack = packs[place]
        after = packs[place - 1][3] if place else BEFORE_ALL
        ids = [id_ for id_, _ in self._recent(after, pack[3])]
        self._merge(Merge(pack[0], ids[0], ids[-1], len(ids)), pack)
        return True

    def sweep(self) -> int:
        """Remove what no writer put there: invalid recent rows, packs that can't be read; return their number."""
        breaks = "length(cells) - length(replace(cells, char(10), ''))"
        is_row = f"{IS_ID} AND {IS_ROW} AND {IS_TEXT.format(column='cells')}"
        invalid = f"prefix = ? AND (NOT ({is_row}) OR {breaks} <> ?)"
        gone = self._db.execute(f"DELETE FROM recent WHERE {invalid}", (self._prefix, len(self.columns) - 1)).rowcount
        gone += self._db.execute(f"DELETE FROM pack WHERE prefix = ? AND NOT ({_IS_PACK})", (self._prefix,)).rowcount
        bad = [pack[0] for pack in self._packs() if not self._is_sound(pack)]
        self._drop(bad)
        self._db.execute(f"DELETE FROM part WHERE number >> {_PARTS} NOT IN (SELECT number FROM pack)")
        return gone + len(bad)

    def _is_sound(self, pack: _PackRow) -> bool:
        try:
            return bool(self._rows_of(pack))
        except DamagedPack:
            return False

    def _step(self) -> int:
        """Do the next step, if there is one; return how many recent rows there are then."""
        packs = self._packs()
        recent = UnpackedIds(self._db, self._prefix, packs[-1][3] if packs else BEFORE_ALL)
        step = next_step(recent, [(number, high) for number, _, _, high in packs], self.limits)
        left = recent.total - (step.size if step else 0)
        self._due = max(self.limits.look, self.limits.recent - left)
        if isinstance(step, Fold):
            self._fold(step)
        elif isinstance(step, Merge):
            self._merge(step, next(pack for pack in packs if pack[0] == step.number))
        return left

    def _fold(self, step: Fold) -> None:
        rows = self._recent(before(step.first), step.last)
        self._store(_rows(rows))
        self._forget(step.first, step.last)
        count_sizes(self._db)

    def _merge(self, step: Merge, pack: _PackRow) -> None:
        joined = self._joined(pack, self._recent(before(step.first), step.last))
        self._drop([step.number])
        self._store(joined)
        self._forget(step.first, step.last)

    def _forget(self, first: bytes, last: bytes) -> None:
        self._db.execute("DELETE FROM recent WHERE prefix = ? AND id BETWEEN ? AND ?", (self._prefix, first, last))

    def _store(self, rows: Sequence[Row]) -> None:
        (last,) = self._db.execute(
            f"SELECT coalesce(max(number), 0) FROM pack WHERE number < {_NUMBERS - PACK_ROWS}"
        ).fetchone()
        for number, span in enumerate(in_packs(len(rows), self.limits), last + 1):
            some = rows[span.start : span.stop]
            self._db.execute(
                "INSERT INTO pack VALUES (?, ?, ?, ?, ?)", (number, self._prefix, len(some), some[0][0], some[-1][0])
            )
            self._db.executemany(
                "INSERT INTO part VALUES (?, ?)",
                [(number << _PARTS | place, data) for place, data in enumerate(encode(self.columns, some))],
            )

    def _drop(self, numbers: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM pack WHERE number = ?", [(number,) for number in numbers])
        self._db.executemany(
            "DELETE FROM part WHERE number BETWEEN ? AND ?",
            [(number << _PARTS, (number + 1 << _PARTS) - 1) for number in numbers],
        )


def compact_if_due(rows: RowWriter | None, transaction: Callable[[], AbstractContextManager[None]]) -> None:
    """Make packs of recent rows in a transaction if it is time. If that fails, nothing but time is lost."""
    if rows is None or not rows.is_due:
        return
    try:
        with transaction():
            rows.compact()
    except (StoreError, ValueError) as error:
        _log.warning("can't make packs of the ledger's rows, which makes reports slower: %s", error)


def before(id_: bytes) -> bytes:
    """Return bytes right below a packed id: no packed id lies between."""
    return (int.from_bytes(id_, "big") - 1).to_bytes(12, "big") if any(id_) else BEFORE_ALL


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether this is what a damaged file causes: pages that can't be read, or text that is not UTF-8."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code == sqlite3.SQLITE_CORRUPT or str(error).startswith("Could not decode to UTF-8")


def _text(raw: bytes) -> str:
    """Return the cells of a recent row as a text; an empty one if they are no text."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return ""


def _rows(recent: Iterable[_RecentRow]) -> list[Row]:
    """Return the rows that are there."""
    return [(id_, tuple(cells.split("\n"))) for id_, cells in recent if cells]
