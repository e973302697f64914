"""The folder inside the spool for invalid lines. Its size is bounded.

The folder is opened relative to the spool's descriptor, never through a link. It is used only if it belongs to this
user (root accepts any owner) and neither its group nor others may write to it.
"""

import errno
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from banledger.errors import SpoolError
from banledger.spool.directory import Directory
from banledger.spool.segment import OpenSegment

REJECTED = "rejected"
"""The folder's name."""

_FILES = 1000
_MOST_BYTES = 16 << 10
_SAID = 5
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger("banledger")


class _Rejected(NamedTuple):
    """An invalid line or its beginning, the reason, and its segment."""

    line: bytes
    reason: str
    segment: OpenSegment


class Quarantine:
    """Invalid lines of one read. Used by one thread. `kept`: how many were written to the folder."""

    def __init__(self) -> None:
        self.kept = 0
        self._rejected: list[_Rejected] = []

    def __len__(self) -> int:
        return len(self._rejected)

    def add(self, segment: OpenSegment, line: bytes, reason: str) -> None:
        """Remember a line."""
        self._rejected.append(_Rejected(line[:_MOST_BYTES], reason, segment))

    def clear(self) -> None:
        """Forget them: they will be read again."""
        self._rejected.clear()

    def keep(self, directory: Directory) -> None:
        """Write them to the folder, each once, while there is room. If that fails, their segments are kept."""
        if not self._rejected:
            return
        for one in self._rejected[:_SAID]:
            _log.warning("set aside from %r: %.300r (see %s in the spool)", one.segment.name, one.reason, REJECTED)
        if len(self) > _SAID:
            _log.warning("set aside: %d further lines", len(self) - _SAID)
        try:
            with directory.opened() as spool:
                self._write(_open_folder(spool))
        except OSError as error:
            _log.error("can't set lines aside in %s (%s): they stay in the spool", REJECTED, error.strerror)
            for one in self._rejected:
                one.segment.kept = True
        self._rejected.clear()

    def _write(self, folder: int) -> None:
        try:
            room = _FILES - len(os.listdir(folder))  # by descriptor
            for one in self._rejected:
                new = room > 0 and _write_once(folder, one)
                room -= new
                self.kept += new
        finally:
            os.close(folder)


def _open_folder(spool: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(REJECTED, 0o750, dir_fd=spool)
    folder = os.open(REJECTED, _DIRECTORY, dir_fd=spool)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(folder)
        raise OSError(errno.EPERM, "it belongs to another user, or others may write to it")
    return folder


def remove_rejected(directory: Directory, is_meant: Callable[[str], bool]) -> int:
    """Remove the invalid lines of a spool for which this is true; return their number. Raises SpoolError."""
    removed = 0
    try:
        with directory.opened() as spool, _folder(spool) as folder:
            for name in () if folder is None else os.listdir(folder):  # noqa: PTH208  # by descriptor
                text = _text(folder, name) if folder is not None else None
                if text is not None and is_meant(text):
                    os.unlink(name, dir_fd=folder)
                    removed += 1
    except OSError as error:
        raise SpoolError(f"can't remove lines from {REJECTED} in the spool: {error.strerror}") from error
    return removed


@contextmanager
def _folder(spool: int) -> Iterator[int | None]:
    """The folder, if there is one."""
    try:
        folder = os.open(REJECTED, _DIRECTORY, dir_fd=spool)
    except FileNotFoundError:
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _text(folder: int, name: str) -> str | None:
    """Return what is in a file of the folder; None: it is no file of ours."""
    try:
        fd = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(2 * _MOST_BYTES).decode("utf-8", "replace") if _is_file(fd) else None


def _is_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _write_once(folder: int, rejected: _Rejected) -> bool:
    """Write a line under its hash, whole or not at all. False if it already exists; raises OSError."""
    name = hashlib.sha256(rejected.line).hexdigest()[:32]
    try:
        fd = os.open(name, _FILE, 0o640, dir_fd=folder)
    except FileExistsError:
        return False
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(b"reason: " + rejected.reason.encode("utf-8", "replace") + b"\n\n" + rejected.line)
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise
    return True
