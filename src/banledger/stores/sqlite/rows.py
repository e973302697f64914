"""The rows of an embedded ledger (see `selection`): recent ones each in the database, older ones in packs.

Theory of operation. A hash that is written puts its row among the recent ones, where it takes the place of an older
row of the same id in a pack: that one is *hidden*. A recent row without cells says that there is none any more. From
time to time recent rows become part of packs (`compaction`). All of it happens in the transaction of the hashes, so a
row always says what its hash says. All rows can be made again from the hashes.
"""

import logging
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from banledger.stores.packs.pack import AFTER_ALL, BEFORE_ALL, PACK_ROWS, DamagedPack, Pack, Row, encode, lowest_key
from banledger.stores.packs.selected import Packed, Recent
from banledger.stores.selection import Cells, Projection, Selection
from banledger.stores.sqlite.compaction import LIMITS, Fold, Merge, in_packs, next_step
from banledger.stores.sqlite.ids import unpack_id
from banledger.stores.sqlite.stored_id import PACKED

_PARTS = 6  # bits of `part.number`: the pack's number << 6 | the part's
_IS_ID = PACKED.format(column="id")
_IS_PACK = f"rows BETWEEN 1 AND {PACK_ROWS} AND typeof(low) = 'blob' AND typeof(high) = 'blob'"
_IS_ROW = "typeof(cells) IN ('text', 'null')"

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
        for number, rows, _low, high in self._packs():
            recent = self._recent(after, high)
            try:
                yield from self._joined(self._pack(number, rows), recent)
            except DamagedPack:
                yield from [(id_, cells) for id_, cells in recent if cells]
            after = high
        yield from [(id_, cells) for id_, cells in self._recent(after, AFTER_ALL) if cells]

    def sources(self, since: float | None, until: float | None) -> Iterator[Recent | Packed]:
        """Return all rows whose second may lie in a span (UTC epoch seconds, `until` excluded; None: open)."""
        low = BEFORE_ALL if since is None else lowest_key(since)
        high = AFTER_ALL if until is None else lowest_key(until)
        recent = self._recent(low, high)
        yield Recent([(id_, cells) for id_, cells in recent if cells])
        ids = [id_ for id_, _ in recent]
        for number, rows, first, last in reversed(self._packs()):
            if first <= high and last >= low:
                hidden = ids[bisect_left(ids, first) : bisect_right(ids, last)]
                yield Packed(self._pack(number, rows), first, last, frozenset(hidden))

    def seconds(self, selection: Selection) -> list[int]:
        """Return seconds that divide the rows of a selection into parts that fit into memory, newest first."""
        firsts = [int.from_bytes(first[:4], "big") for _, _, first, _ in reversed(self._packs())]
        since, until = selection.since or 0, inf if selection.until is None else selection.until
        return [second for second in dict.fromkeys(firsts) if since < second < until]

    def _packs(self) -> list[tuple[int, int, bytes, bytes]]:
        """Return number, rows, first and last id of each pack, oldest first."""
        return self._db.execute(
            f"SELECT number, rows, low, high FROM pack WHERE prefix = ? AND {_IS_PACK} ORDER BY high", (self._prefix,)
        ).fetchall()

    def _recent(self, after: bytes, last: bytes) -> list[tuple[bytes, Cells | None]]:
        """Return the recent rows after one id up to another, oldest first. None: there is no row any more."""
        found = self._db.execute(
            f"SELECT id, cells FROM recent WHERE prefix = ? AND id > ? AND id <= ? AND {_IS_ID} AND {_IS_ROW}"
            " ORDER BY id",
            (self._prefix, after, last),
        )
        rows = [(id_, tuple(cells.split("\n")) if cells else None) for id_, cells in found]
        return [row for row in rows if row[1] is None or len(row[1]) == len(self.columns)]

    def _pack(self, number: int, rows: int) -> Pack:
        return Pack(self.columns, rows, lambda part: self._part(number, part))

    def _part(self, pack: int, part: int) -> bytes:
        found = self._db.execute("SELECT data FROM part WHERE number = ?", (pack << _PARTS | part,)).fetchone()
        return found[0] if found else b""

    def _joined(self, pack: Pack, recent: Iterable[tuple[bytes, Cells | None]]) -> list[Row]:
        """Return the rows of a pack as the recent ones change them, sorted."""
        rows: dict[bytes, Cells | None] = dict(pack.all_rows())
        rows.update(recent)
        return sorted((id_, cells) for id_, cells in rows.items() if cells)


class RowWriter(RowReader):
    """Writes the rows of one prefix. Every method is called in a transaction."""

    limits = LIMITS

    def __init__(self, db: sqlite3.Connection, projection: Projection) -> None:
        super().__init__(db, projection)
        self._due = 0  # rows that may be written before a look at what is to do

    def put(self, rows: Mapping[bytes, Cells | None]) -> None:
        """Write rows; None: there is none. Then make packs of recent ones if it is time."""
        if not rows:
            return
        self._db.executemany(
            "INSERT OR REPLACE INTO recent VALUES (?, ?, ?)",
            [(self._prefix, id_, "\n".join(cells) if cells else None) for id_, cells in sorted(rows.items())],
        )
        self._due -= len(rows)
        if self._due < 0:
            try:
                self._compact()
            except DamagedPack:
                _log.warning("a part of the ledger's index is damaged: banledger store rebuild makes it again")

    def sweep(self) -> int:
        """Remove what no writer put there: invalid recent rows, packs that can't be read; return their number."""
        breaks = "length(cells) - length(replace(cells, char(10), ''))"
        invalid = f"prefix = ? AND (NOT ({_IS_ID} AND {_IS_ROW}) OR {breaks} <> ?)"
        gone = self._db.execute(f"DELETE FROM recent WHERE {invalid}", (self._prefix, len(self.columns) - 1)).rowcount
        gone += self._db.execute(f"DELETE FROM pack WHERE prefix = ? AND NOT ({_IS_PACK})", (self._prefix,)).rowcount
        bad = [number for number, rows, low, high in self._packs() if not self._is_sound(number, rows, low, high)]
        self._drop(bad)
        self._db.execute(f"DELETE FROM part WHERE number >> {_PARTS} NOT IN (SELECT number FROM pack)")
        return gone + len(bad)

    def _is_sound(self, number: int, rows: int, low: bytes, high: bytes) -> bool:
        try:
            ids = [id_ for id_, _ in self._pack(number, rows).all_rows()]
            return (ids[0], ids[-1]) == (low, high) and all(map(unpack_id, ids))
        except ValueError:
            return False

    def _compact(self) -> None:
        """Do the next step, if there is one."""
        recent = [id_ for id_, _ in self._recent(BEFORE_ALL, AFTER_ALL)]
        packs = self._packs()
        step = next_step(recent, [(number, high) for number, _, _, high in packs], self.limits)
        self._due = max(self.limits.look, self.limits.recent - len(recent) + (step.size if step else 0))
        if isinstance(step, Fold):
            self._fold(step)
        elif isinstance(step, Merge):
            self._merge(step, {number: rows for number, rows, _, _ in packs}[step.number])

    def _fold(self, step: Fold) -> None:
        rows = self._recent(before(step.first), step.last)
        self._store([(id_, cells) for id_, cells in rows if cells])
        self._forget(step.first, step.last)

    def _merge(self, step: Merge, rows: int) -> None:
        joined = self._joined(self._pack(step.number, rows), self._recent(before(step.first), step.last))
        self._drop([step.number])
        self._store(joined)
        self._forget(step.first, step.last)

    def _forget(self, first: bytes, last: bytes) -> None:
        self._db.execute("DELETE FROM recent WHERE prefix = ? AND id BETWEEN ? AND ?", (self._prefix, first, last))

    def _store(self, rows: Sequence[Row]) -> None:
        (last,) = self._db.execute("SELECT coalesce(max(number), 0) FROM pack").fetchone()
        for number, part in enumerate(in_packs(len(rows), self.limits), last + 1):
            some = rows[part.start : part.stop]
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


def before(id_: bytes) -> bytes:
    """Return bytes right below a packed id: no packed id lies between."""
    return (int.from_bytes(id_, "big") - 1).to_bytes(12, "big") if any(id_) else BEFORE_ALL
