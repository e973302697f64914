"""The ids of recent rows: which part of them becomes part of packs. See `compaction.UnpackedRows`."""

import sqlite3

from banledger.stores.sqlite.stored_id import PACKED

IS_ID = PACKED.format(column="id")
IS_ROW = "(cells < x'' OR cells IS NULL)"  # text: the column stores no numbers


class UnpackedIds:
    """See compaction.UnpackedRows. Counted, not read: there are many. `last`: the last id of all packs."""

    def __init__(self, db: sqlite3.Connection, prefix: str, last: bytes) -> None:
        self._db, self._of = db, (prefix, last)
        count = f"SELECT count(*), coalesce(sum(id > ?2), 0) FROM recent WHERE prefix = ?1 AND {IS_ID} AND {IS_ROW}"
        found: tuple[int, int] = db.execute(count, self._of).fetchone()
        self.total, self.after = found

    def after_packs(self, place: int) -> bytes:
        return self._ids(f"id > ? ORDER BY id LIMIT 1 OFFSET {place}")[0]

    def within_packs(self) -> list[bytes]:
        return self._ids("id <= ? ORDER BY id")

    def _ids(self, where: str) -> list[bytes]:
        question = f"SELECT id FROM recent WHERE prefix = ? AND {IS_ID} AND {IS_ROW} AND {where}"
        return [id_ for (id_,) in self._db.execute(question, self._of)]
