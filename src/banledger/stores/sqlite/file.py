"""The file of an embedded ledger: found, made, checked; and SQLite's errors in our words.

SQLite before 3.51.3 can corrupt a WAL file when two connections write or checkpoint at once. So there is one writer,
under a lock (`lock`); readers open `mode=ro`, which is refused a checkpoint.
"""

import fcntl
import logging
import os
import shlex
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from banledger.errors import (
    LedgerMissing,
    LedgerNewer,
    LedgerOlder,
    NotALedger,
    StoreError,
    StoreUnavailable,
)
from banledger.stores.sqlite.held import are_in_wal, beside, check_length
from banledger.stores.sqlite.lock import WriterLock
from banledger.stores.sqlite.stored_id import Member, is_id, is_text

TOO_NEW = "upgrade banledger, or restore a backup from before the upgrade: banledger store restore FILE --replace"
"""What to do about a ledger that a newer version made."""

INDEXED_FROM = 5
"""Scores of rankings from here on are in an index. Most addresses have fewer bans, each of which would write a page."""

SCHEMA = f"""
CREATE TABLE key (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, card INTEGER NOT NULL);
CREATE TABLE head (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE item (head INTEGER, id BLOB, fields BLOB NOT NULL, PRIMARY KEY (head, id)) WITHOUT ROWID;
CREATE TABLE hash (key INTEGER PRIMARY KEY, fields BLOB NOT NULL);
CREATE TABLE member (key INTEGER, member TEXT, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE TABLE tally (key INTEGER, member TEXT, score INTEGER NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE TABLE ranking (key INTEGER, member TEXT, score REAL NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE INDEX ranking_by_score ON ranking (key, score, member) WHERE score >= {INDEXED_FROM};
CREATE TABLE mark (key INTEGER, score REAL, id BLOB, PRIMARY KEY (key, score, id)) WITHOUT ROWID;
CREATE TABLE recent (prefix TEXT, id BLOB, cells TEXT, PRIMARY KEY (prefix, id)) WITHOUT ROWID;
CREATE TABLE pack (
    number INTEGER PRIMARY KEY, prefix TEXT NOT NULL, rows INTEGER NOT NULL, low BLOB NOT NULL, high BLOB NOT NULL
);
CREATE TABLE part (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
"""The tables of a ledger. The last three hold rows: see `rows`."""

HASH, SET, TALLY, RANKING = "hash", "set", "tally", "ranking"
"""What a key may hold: the values of `key.kind`."""

_APPLICATION_ID = 0x62616E73  # "bans", in the header of the file (PRAGMA application_id)
FORMAT = 2
"""The format of files that are written (PRAGMA user_version). Format 1 has no items and no packed ids; it is read."""

_CACHE_KIB = 8 * 1024
_CHECKPOINT_PAGES = 4000

_WHO_MAY = "check its owner and mode; members of its group may read it"

_INDEX_HEADER = 96  # bytes at the beginning of `-shm`: https://sqlite.org/walformat.html
_INDEX_WRITE_LOCK = 120

_log = logging.getLogger("banledger")

_Place = TypeVar("_Place", int, str, bytes, tuple[bool, Member], tuple[float, bytes])


def is_there(path: Path) -> bool:
    """Whether there is a file. Raises NotALedger for a directory, StoreUnavailable where we may not look."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreUnavailable(f"can't open {path}: {error.strerror}", hint=_WHO_MAY) from error
    if stat.S_ISDIR(mode):
        raise NotALedger(f"{path} is a directory, not a ledger", hint="give the path of a file")
    return True


def size_of(path: Path) -> int | None:
    """Bytes of the ledger's files; None: unknown. They are not opened: closing one would drop SQLite's locks."""
    try:
        return path.stat().st_size + sum(wal.stat().st_size for wal in (beside(path, "-wal"),) if wal.exists())
    except OSError:
        return None


def open_for_writing(path: Path, lock: WriterLock) -> sqlite3.Connection:
    """The ledger, made where it is not. For the holder of its lock. Raises NotALedger, StoreUnavailable."""
    signs = _signs_of_another(lock) if os.fstat(lock.database).st_size == 0 else []
    if not check_length(lock.path, lock.database):
        raise damaged(path, "a part of it is missing")
    connection = connect(path, "rw")
    try:
        check_header(connection, path, to_write=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
                f" PRAGMA user_version = {FORMAT}; COMMIT;"
            )
            _say_created(path, signs)
    except BaseException:
        connection.close()
        raise
    return connection


def _signs_of_another(lock: WriterLock) -> list[str]:
    """What speaks for it that a ledger was here before. SQLite would delete its `-wal`: it is set aside."""
    signs = [] if lock.made else ["the file was empty"]
    if beside(lock.path, "-wal").exists():
        signs.append(f"{beside(lock.path, '-wal')} was left behind")
        set_wal_aside(lock.path)
    return signs


def _say_created(path: Path, signs: list[str]) -> None:
    if signs:
        _log.warning("created ledger %s; there may have been one before: %s", path, ", ".join(signs))
    else:
        _log.info("created ledger %s", path)


def set_wal_aside(path: Path) -> None:
    """Rename a `-wal` that does not belong to what is at `path`, unless it is empty."""
    wal, old = beside(path, "-wal"), beside(path, "-wal.old")
    try:
        if wal.stat().st_size:
            wal.rename(old)
            _log.warning("set %s aside as %s: it belongs to another ledger, or to an earlier state of it", wal, old)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.error("can't set %s aside, which belongs to another ledger: %s", wal, error.strerror)


def forget_index(path: Path) -> None:
    """Let SQLite make the index of `-wal` (`-shm`) anew from what `-wal` holds, whose checksums it verifies then.

    While a reader keeps the index open, SQLite trusts it. For when no connection of this process has the file open.
    """
    try:
        index = os.open(beside(path, "-shm"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _INDEX_WRITE_LOCK)
        os.pwrite(index, bytes(_INDEX_HEADER), 0)
    except OSError as error:
        _log.warning("can't reset %s: %s", beside(path, "-shm"), error.strerror)
    finally:
        os.close(index)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that begins transactions only where it is told to. `mode`: `ro` or `rw`; neither creates a file."""
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5, cached_statements=64)
    connection.create_function("is_id", 1, is_id, deterministic=True)
    connection.create_function("is_text", 1, is_text, deterministic=True)
    return connection


def as_json(texts: Iterable[str]) -> str:
    """The value of a `json_each(?)`. Must be text: from SQLite 3.45 on, bytes are taken for binary JSON (JSONB)."""
    return msgspec.json.encode(list(texts)).decode()


def check_header(connection: sqlite3.Connection, path: Path, *, to_write: bool = False) -> None:
    """Raises NotALedger, LedgerNewer; to read, LedgerMissing where nothing was ever written; to write, LedgerOlder."""
    connection.execute("BEGIN")
    made_by, format_, tables = (
        connection.execute(question).fetchone()[0]
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    whole = _is_whole(connection, path)
    connection.execute("COMMIT")
    if made_by == 0 and format_ == 0 and tables == 0:
        if to_write:
            return
        raise LedgerMissing(f"the ledger at {path} is empty", hint="start the recorder: banledger record")
    if made_by != _APPLICATION_ID:
        raise NotALedger(f"{path} is a database, but not banledger's", hint="choose another path for the ledger")
    if format_ > FORMAT:
        raise LedgerNewer(f"{path} was made by a newer banledger (file format {format_})", hint=TOO_NEW)
    if format_ < FORMAT and to_write:
        raise LedgerOlder(
            f"{path} was made by an older banledger (file format {format_}), and can only be read",
            hint=f"make a new one of it, and use that: banledger store copy {shlex.quote(str(path))} NEW",
        )
    if not whole:
        raise damaged(path, "a part of it is missing")


def _is_whole(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether each page is there, or in `-wal`. The file isn't opened: closing it would drop SQLite's locks."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    there = path.stat().st_size // size
    return there >= pages or are_in_wal(path.resolve(), range(there + 1, pages + 1))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors become ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, why: object) -> NotALedger:
    """Return the error of a file that is no ledger, or not whole."""
    return NotALedger(
        f"{path} is not a ledger, or is damaged: {why}",
        hint="check the path; if it is a ledger, save the bans that can be read: banledger store copy"
        f" {shlex.quote(str(path))} NEW; or restore a copy",
    )


def beyond(last: _Place, now: _Place, path: Path) -> _Place:
    """Where the next page begins. In a damaged file the order may be lost, and pages would never end."""
    if now <= last:  # the first of a tuple is whether the second is bytes
        raise damaged(path, "its order is lost")
    return now


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailable(f"the disk that holds {path} is full", hint="make room")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return damaged(path, error)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY):
        return StoreUnavailable(f"can't open {path}: {error}", hint=_WHO_MAY)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return StoreUnavailable(
            f"can't use {path} now: {error}",
            hint="a process holds a lock on it (lslocks shows which); it is tried again",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(f"can't use {path} now: {error}", hint="check the disk; it is tried again")
    return StoreError(f"{path}: {error}", hint="the file may be damaged: restore a copy")
