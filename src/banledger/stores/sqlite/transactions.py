"""A writer's connection to an embedded ledger: its transactions, and what it leaves when it is closed.

A read-only connection, the keeper, is open as long as the writer's and closed after it. So SQLite never takes the
writer for the last one and leaves `-wal` and `-shm` where they are: a reader that may not create them can always open
the ledger, and what another program put in their place is not deleted.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from banledger.stores.api import Hash
from banledger.stores.selection import Projection
from banledger.stores.sqlite.file import forget_index, set_wal_aside, translated
from banledger.stores.sqlite.held import Disturbance, HeldFiles
from banledger.stores.sqlite.items import Items
from banledger.stores.sqlite.lock import WriterLock
from banledger.stores.sqlite.reader import SqliteReader
from banledger.stores.sqlite.rows import RowWriter

_LARGE_WAL = 256 << 20

_log = logging.getLogger("banledger")


class Transactions(SqliteReader):
    """The only writer of its file."""

    _items: Items

    def __init__(
        self,
        connection: sqlite3.Connection,
        keeper: sqlite3.Connection,
        path: Path,
        lock: WriterLock,
        projection: Projection | None = None,
    ) -> None:
        """`keeper` has read the ledger. The connections and the lock are closed with this."""
        super().__init__(connection, path, projection)
        self._items = Items()
        self._projection = projection
        self._rows = RowWriter(connection, projection) if projection else None
        self._keeper = keeper
        self._files = HeldFiles(path, lock.path, lock.database)
        self._lock = lock
        self._numbers: dict[str, tuple[int, str]] = {}  # of keys: number and kind, as the database has them
        self._failed = self._wal_is_large = self._closed = False

    def close(self) -> None:
        """See Reader.close. Leaves all that was recorded in the database itself, and an empty `-wal` and `-shm`."""
        if self._closed:
            return
        disturbance = self._files.disturbance()
        if disturbance is None or disturbance.save:
            self._empty_wal()
        self._closed = True
        self._db.close()
        self._keeper.close()
        if disturbance:
            self._put_in_order(disturbance)
        self._files.close()
        self._lock.close()

    def _put_in_order(self, disturbance: Disturbance) -> None:
        """Leave nothing that SQLite would take for what it is not."""
        if disturbance.stale:
            set_wal_aside(self._lock.path)
        if disturbance.put_back:
            self._files.put_wal_back()
        forget_index(self._lock.path)

    def _empty_wal(self) -> None:
        """Copy what `-wal` holds into the database, so that the file alone is a good copy."""
        try:
            _, written, copied = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            trouble = "" if 0 <= written == copied else "another process reads it, or holds a lock (lslocks)"
        except sqlite3.Error as error:
            trouble = str(error)
        if trouble and not self._failed:
            _log.warning("a part of %s is still in %s-wal: %s; the two belong together", self.path, self.path, trouble)

    def _rewrite(self) -> None:
        """Write the file anew, without what was deleted, and empty `-wal` unless somebody reads.

        SQLite's `secure_delete` would not do: rows that were moved to another page leave copies behind.
        """
        self._files.check()
        beside = str(self._lock.path.parent).replace("'", "''")  # /var/tmp may be small; the environment is read once
        with translated(self.path):
            try:
                self._db.execute(f"PRAGMA temp_store_directory = '{beside}'")
                self._db.execute("PRAGMA temp_store = FILE")
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA busy_timeout = 100")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._db.execute("PRAGMA busy_timeout = 5000")
                self._db.execute("PRAGMA temp_store = MEMORY")
                self._files.note()

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        if not self._db.in_transaction:
            self._files.check()
        return super().hashes(keys)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._files.check()
        self._failed = True
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._numbers.clear()
                self._items.forget()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._files.note()
                raise
        self._failed = False
        self._watch_wal(self._files.note())
        self._files.check()  # what went into a deleted `-wal` is not recorded

    def _watch_wal(self, size: int) -> None:
        """Log once that `-wal` grows (bytes): SQLite can't start it over while a reader's transaction is open."""
        large = size > _LARGE_WAL
        if large and not self._wal_is_large:
            _log.warning(
                "%s-wal has grown to %s MiB: a process keeps a transaction or a lock open (lslocks shows it);"
                " it shrinks when that ends",
                self.path,
                size >> 20,
            )
        self._wal_is_large = large
