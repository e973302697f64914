"""A copy of an embedded ledger as it is at one moment, made while its writer goes on."""

import sqlite3
from pathlib import Path

from banledger.errors import NotALedger
from banledger.stores.sqlite.file import check_header, connect, damaged, translated

MAGIC = b"SQLite format 3\x00"
"""The first bytes of a database (https://sqlite.org/fileformat.html)."""


def snapshot(path: Path, target: Path) -> None:
    """Write a copy of the ledger at `path` to `target`, which must not be there. Raises StoreError.

    It is read in one transaction, which delays no writer: `-wal` grows meanwhile. What was deleted is not copied.
    """
    with translated(path):
        connection = connect(path, "ro")
        try:
            check_header(connection, path)
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()


def check_whole(path: Path) -> None:
    """Check that a file is a ledger of this version, and that all of its pages can be read. Raises StoreError."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise NotALedger("the backup holds no ledger", hint="give a file that banledger store backup wrote")
    with translated(path):
        connection = connect(path, "ro")
        try:
            check_header(connection, path, to_write=True)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise damaged(path, error) from error
        finally:
            connection.close()
    if found != "ok":
        raise damaged(path, found)
