"""The writer's lock on an embedded ledger: a file beside it, and a byte of the database itself.

Theory of operation. `flock` on the lock file keeps a second writer out. Its mode is 0600: a member of the group, who
may only read the ledger, can't take it. But a lock file can be deleted, and a hard link in another directory has a
lock file of its own. So the writer also locks one byte of the database, far from those that SQLite locks. That is an
open file description lock: it is not lost when SQLite closes a descriptor of the file, and it needs a descriptor that
may write. A reader can only hold a read lock on that byte. No writer has it locked then, and the lock file alone
decides; so it does on a file system that has no such locks. `flock` on the database would be open to every reader,
and NFS makes it a lock on the whole file, which excludes SQLite's own.

Closing any descriptor of a file drops the POSIX locks that this process has on it, SQLite's too. So the descriptor of
the database is closed last, and a second writer in this process is refused before it opens the file.
"""

import errno
import fcntl
import logging
import os
import shlex
import stat
import struct
from contextlib import suppress
from pathlib import Path

from banledger.errors import LedgerLocked, StoreUnavailable

_BYTE = 0x4000_0400  # SQLite locks the 512 bytes from 0x4000_0000 on
_FLOCK = "@hhqqi4x"  # struct flock: type, whence, start, length, pid
_TAKEN = (errno.EAGAIN, errno.EACCES)
_TRIES = 10

_held: set[tuple[int, int]] = set()  # the databases that this process has locked

_log = logging.getLogger("banledger")


class WriterLock:
    """The right to write to a ledger, until `close`.

    path      the ledger's real path, without links
    database  a descriptor of its file, to read and write
    made      whether the file was made for this
    """

    def __init__(self, path: Path, lock: int, database: int, *, made: bool) -> None:
        self.path = path
        self.database = database
        self.made = made
        self._lock = lock
        self._file = _identity(os.fstat(database))
        _held.add(self._file)

    def close(self) -> None:
        """Let others write. After SQLite has closed the file."""
        _held.discard(self._file)
        os.close(self.database)
        os.close(self._lock)


def take(path: Path) -> WriterLock:
    """The lock on the ledger at `path`; the ledger's file is made if there is none.

    Raises LedgerLocked if there is another writer, by whatever name or link, and StoreUnavailable.
    """
    real = Path(os.path.realpath(path))
    lock, _ = _open_or_make(real.with_name(real.name + ".lock"), path, 0o600)
    try:
        _close_to_others(lock, real.parent)
        _lock_file(lock, path)
        database, made = _open_database(real, path)
    except BaseException:
        os.close(lock)
        raise
    return WriterLock(real, lock, database, made=made)


def _lock_file(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _taken(path) from error
    except OSError as error:
        raise StoreUnavailable(
            f"can't lock {path}: {error.strerror}", hint="put the ledger on a file system of this machine"
        ) from error


def _open_database(real: Path, path: Path) -> tuple[int, bool]:
    with suppress(OSError):
        if _identity(real.stat()) in _held:
            raise _taken(path)
    database, made = _open_or_make(real, path, 0o640)
    try:
        _lock_byte(database, path)
    except BaseException:
        os.close(database)
        raise
    return database, made


def _lock_byte(database: int, path: Path) -> None:
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
    for _ in range(_TRIES):  # the holder may let go before it is looked at
        try:
            fcntl.fcntl(database, fcntl.F_OFD_SETLK, wanted)
            return
        except OSError as error:
            if error.errno not in _TAKEN:
                return  # there are no such locks here
            holder = struct.unpack(_FLOCK, fcntl.fcntl(database, fcntl.F_OFD_GETLK, wanted))[0]
            if holder == fcntl.F_WRLCK:
                raise _taken(path) from error
        if holder == fcntl.F_RDLCK:
            break
    _log.warning("a process that only reads %s locked it, which is ignored; lslocks shows which", path)


def _taken(path: Path) -> LedgerLocked:
    return LedgerLocked(f"another recorder writes to {path}", hint="systemctl status banledger; stop it first")


def _open_or_make(file: Path, ledger: Path, mode: int) -> tuple[int, bool]:
    """A file to read and write, and whether it was made. Raises StoreUnavailable, which names the ledger."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            return os.open(file, flags), False
        except FileNotFoundError:
            made = os.open(file, flags | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise StoreUnavailable(
            f"can't write {file.name} for {ledger}: {error.strerror}", hint=_who_may(file, error)
        ) from error
    if _give(made, file.parent):
        with suppress(OSError):
            os.fchmod(made, mode)  # whatever root's umask is
    return made, True


def _who_may(file: Path, error: OSError) -> str:
    """What to do about a file that can't be written: as root, where a command of root's made it."""
    with suppress(OSError):
        folder, owner = file.parent, file.stat().st_uid
        if isinstance(error, PermissionError) and owner != folder.stat().st_uid:
            name = str(file).removesuffix(".lock")
            return f"as root: chown --reference={shlex.quote(str(folder))} {shlex.quote(name)}*"
    return "check the folder and its owner"


def _close_to_others(lock: int, folder: Path) -> None:
    """Give a lock file the mode and owner that it should have, where we may. A link to another file stays as it is."""
    status = os.fstat(lock)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size == 0:
        if status.st_uid == 0:
            _give(lock, folder)
        if stat.S_IMODE(status.st_mode) != 0o600:
            with suppress(OSError):
                os.fchmod(lock, 0o600)


def _give(file: int, folder: Path) -> bool:
    """What root makes belongs to the folder's owner, the service. Whether that is another user."""
    owner = folder.stat()
    if os.geteuid() or not owner.st_uid:
        return False
    with suppress(OSError):
        os.fchown(file, owner.st_uid, owner.st_gid)
    return True


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
