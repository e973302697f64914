"""The files that a writer has open, watched: whether another program moved, deleted, cut or overwrote one.

SQLite does not look. It would go on writing to a deleted `-wal`, which nobody reads again, and at the next start it
would apply a `-wal` to a database that it does not belong to.

Nobody but the writer changes size and beginning of the database and of its `-wal`. So both are noted after each
transaction and compared before the next one. Sizes and contents are the writer's own in every file system; times are
not.
"""

import logging
import os
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from msgspec import Struct

from banledger.errors import LedgerChanged, StoreUnavailable

_HEADER, _WAL_HEADER, _FRAME_HEADER = 100, 32, 24  # bytes: https://sqlite.org/fileformat2.html
_MAGIC = b"SQLite format 3\0"
_CHUNK = 1 << 20

_log = logging.getLogger("banledger")


class FileState(Enum):
    """What became of a file: it is as it was, its name no longer leads to it, or it was written by another program."""

    SAME = "same"
    GONE = "gone"
    REPLACED = "replaced"
    WRITTEN = "written"


class Disturbance(Struct, frozen=True):
    """What happened to the files, and what to do before they are opened again.

    what, hint  in words
    save        what `-wal` holds is whole and belongs to the database that is open: copy it there
    stale       what lies at the name of `-wal` does not belong to what lies at the name of the database
    put_back    the `-wal` that is open does, but has lost its name: give it back what could not be copied
    """

    what: str
    hint: str
    save: bool
    stale: bool
    put_back: bool


_WHAT = {
    FileState.GONE: "{} was moved or deleted",
    FileState.REPLACED: "another file took the place of {}",
    FileState.WRITTEN: "another program wrote to {}, or truncated it",
}
_HINTS = {
    "": {
        FileState.GONE: "put it back; otherwise a new ledger is created",
        FileState.REPLACED: "recording continues in the file that is there now",
        FileState.WRITTEN: "the ledger is opened again; if it is damaged, stop the service and restore a copy",
    },
    "-wal": {
        FileState.GONE: "what it held is copied into the ledger",
        FileState.REPLACED: "what it held is copied into the ledger",
        FileState.WRITTEN: "the ledger is opened again, with the records that can be read from it",
    },
    "-shm": dict.fromkeys(FileState, "the ledger is opened again, which creates it again"),
}


def judge(
    path: Path, database: FileState, wal: FileState, index: FileState, *, checkpointed: bool
) -> Disturbance | None:
    """What the states of the files mean together; None: nothing happened.

    `checkpointed`: the database was written, but only with what `-wal` holds.
    """
    states = {"": database, "-wal": wal, "-shm": index}
    touched = [end for end, state in states.items() if state is not FileState.SAME]
    if not touched:
        return None
    end, state = touched[0], states[touched[0]]
    save = FileState.WRITTEN not in (database, wal)
    stale = wal is FileState.REPLACED if database is FileState.SAME else wal is FileState.SAME and not checkpointed
    put_back = database is FileState.SAME and wal in (FileState.GONE, FileState.REPLACED)
    return Disturbance(_WHAT[state].format(f"{path}{end}"), _HINTS[end][state], save, stale, put_back)


class HeldFiles:
    """The database, `-wal` and `-shm` of one writer, from when it opened them until `close`."""

    def __init__(self, path: Path, real: Path, database: int) -> None:
        """`real`: `path` without links. `database`: a descriptor of its file; stays the caller's."""
        self.path = path
        self._wal_path, self._index_path = beside(real, "-wal"), beside(real, "-shm")
        self._database = database
        try:
            self._wal = os.open(self._wal_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._index = _identity(self._index_path.stat())
        except OSError as error:
            raise StoreUnavailable(
                f"can't open {error.filename}: {error.strerror}", hint="it is tried again"
            ) from error
        self.note()

    def note(self) -> int:
        """What is in the files now is what we wrote. The size of `-wal`, bytes."""
        self._database_was = _look(self._database, _HEADER)
        self._wal_was = _look(self._wal, _WAL_HEADER)
        return self._wal_was[0]

    def put_wal_back(self) -> None:
        """A copy of the open `-wal` under its name, for what a reader's transaction keeps out of the database."""
        status = os.fstat(self._wal)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            copy = os.open(self._wal_path, flags, stat.S_IMODE(status.st_mode))
            try:
                if os.geteuid() == 0:
                    os.fchown(copy, status.st_uid, status.st_gid)
                for offset in range(0, status.st_size, _CHUNK):
                    os.write(copy, os.pread(self._wal, _CHUNK, offset))
                os.fsync(copy)
            finally:
                os.close(copy)
        except OSError as error:
            _log.error("can't write %s again: %s", self._wal_path, error.strerror)

    def close(self) -> None:
        """Look no more."""
        os.close(self._wal)

    def check(self) -> None:
        """Raises LedgerChanged."""
        if disturbance := self.disturbance():
            raise LedgerChanged(disturbance.what, hint=disturbance.hint)

    def disturbance(self) -> Disturbance | None:
        """What happened since `note`."""
        database = self._state(self.path, self._database, self._database_was, _HEADER)
        wal = self._state(self._wal_path, self._wal, self._wal_was, _WAL_HEADER)
        index = _state_of_name(self._index_path, self._index)
        if database is wal is index is FileState.SAME:
            return None
        checkpointed = database is FileState.WRITTEN and self._is_checkpointed()
        return judge(self.path, database, wal, index, checkpointed=checkpointed)

    def _state(self, path: Path, file: int, was: tuple[int, bytes], length: int) -> FileState:
        named = _state_of_name(path, _identity(os.fstat(file)))
        if named is FileState.SAME and _look(file, length) != was:
            return FileState.WRITTEN
        return named

    def _is_checkpointed(self) -> bool:
        size, header = _look(self._database, _HEADER)
        if size < self._database_was[0]:
            return False
        pages = (offset for number, offset in frames(self._wal) if number == 1)
        return any(os.pread(self._wal, _HEADER, offset) == header for offset in pages)


def check_length(path: Path, database: int) -> bool:
    """Whether each page that the database should have is there, or in `-wal`."""
    size, header = _look(database, _HEADER)
    if not header.startswith(_MAGIC) or header[24:28] != header[92:96]:  # it does not tell how long it should be
        return True
    page = int.from_bytes(header[16:18])
    there = size // (65_536 if page <= 1 else page)
    missing = range(there + 1, int.from_bytes(header[28:32]) + 1)
    return not missing or are_in_wal(path, missing)


def are_in_wal(path: Path, missing: range) -> bool:
    """Whether these pages of the database at `path` are in its `-wal`."""
    try:
        wal = os.open(beside(path, "-wal"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        found = {number for number, _ in frames(wal)}
        return len(missing) <= len(found) and found.issuperset(missing)
    finally:
        os.close(wal)


def frames(wal: int) -> Iterator[tuple[int, int]]:
    """The number of each page in a `-wal`, and where in it the page begins."""
    size, header = _look(wal, _WAL_HEADER)
    page = int.from_bytes(header[8:12])
    if not 512 <= page <= 65_536:
        return
    for offset in range(_WAL_HEADER, size - _FRAME_HEADER - page + 1, _FRAME_HEADER + page):
        yield int.from_bytes(os.pread(wal, 4, offset)), offset + _FRAME_HEADER


def beside(path: Path, end: str) -> Path:
    """A file of SQLite's beside the database."""
    return path.with_name(path.name + end)


def _look(file: int, length: int) -> tuple[int, bytes]:
    return os.fstat(file).st_size, os.pread(file, length, 0)


def _state_of_name(path: Path, identity: tuple[int, int]) -> FileState:
    try:
        return FileState.SAME if _identity(path.stat()) == identity else FileState.REPLACED
    except OSError:
        return FileState.GONE


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
