"""A writer of the spool (docs/spool-format.md) for lines that don't come from fail2ban.

Unlike the action it may wait: it pauses while the spool is fairly full, so that live bans always have room.
"""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from banledger.errors import SpoolError
from banledger.spool.directory import MISSING_HINT

_ROTATE_BYTES = 1 << 20
_BACKLOG_BYTES = 128 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_WAIT_S = 1.0
_TRIES = 3
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SEGMENT = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = "make room; running it again is harmless"
_ANOTHER_USER = "run this as the user that fail2ban runs as; running it again is harmless"


class SegmentWriter:
    """Write lines to the spool. Used by one thread, as a context. Raises SpoolError.

    `waiting` is called once a second while the spool is too full to write to. `writer`: the name of this writer.
    """

    def __init__(
        self,
        directory: Path,
        waiting: Callable[[], None] = lambda: None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        backlog: int = _BACKLOG_BYTES,
    ) -> None:
        self._path = directory
        self._waiting = waiting
        self._sleep = sleep
        self._backlog = backlog
        self.writer = os.urandom(4).hex()
        self._count = self._seq = self._size = 0
        self._fd = -1

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the segment: the recorder may remove it when its lines are recorded."""
        self._leave()

    def write(self, fields: dict[str, Any]) -> None:
        """Write one line with these fields and the next number."""
        line = json.dumps({**fields, "seq": self._seq + 1}, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            if self._fd < 0 or self._size + len(line) > _ROTATE_BYTES or os.fstat(self._fd).st_nlink != 1:
                self._begin()
            self._append(line)
        except OSError as error:
            raise SpoolError(f"can't write to the spool {self._path}: {error.strerror}", hint=_hint(error)) from error
        self._seq += 1

    def _append(self, line: bytes) -> None:
        """Write one line by one write; on failure remove the part that was written."""
        written = os.write(self._fd, line)
        if written == len(line):
            self._size += written
            return
        os.ftruncate(self._fd, self._size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin(self) -> None:
        self._leave()
        directory = _open_directory(self._path)
        try:
            while _bytes_in(directory) > self._backlog:
                self._waiting()
                self._sleep(_WAIT_S)
            for chance in range(_TRIES, 0, -1):
                try:
                    self._fd = self._create(directory)
                    self._size = 0
                    return
                except OSError:
                    if chance == 1:
                        raise
        finally:
            os.close(directory)

    def _create(self, directory: int) -> int:
        self._count += 1
        name = f"{time.time_ns() // 1_000_000:013d}-{self.writer}-{self._count}.jsonl"
        fd = os.open(name, _SEGMENT, 0o600, dir_fd=directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before the group can lock it
            os.fchmod(fd, 0o640)
        except OSError:
            os.close(fd)
            os.unlink(name, dir_fd=directory)
            raise
        return fd

    def _leave(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _bytes_in(directory: int) -> int:
    """Bytes of files with a segment's name and a trusted owner; other files don't count."""
    total = 0
    owners = (0, os.geteuid(), os.fstat(directory).st_uid)
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                try:
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_size if stat.S_ISREG(status.st_mode) and status.st_uid in owners else 0
                except FileNotFoundError:
                    continue  # the recorder removed it
    return total


def _open_directory(path: Path) -> int:
    """Open the spool; no directory on its path is a link or writable by others."""
    fd = os.open("/", _DIRECTORY)
    try:
        steps = path.absolute().parts[1:]
        for number, step in enumerate(steps, 1):
            below = os.open(step, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
            _verify(os.fstat(fd), last=number == len(steps))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _verify(status: os.stat_result, *, last: bool) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, f"a directory on its path belongs to user {status.st_uid}")
    forbidden = stat.S_IWOTH if last else stat.S_IWGRP | stat.S_IWOTH
    if status.st_mode & forbidden and (last or not status.st_mode & stat.S_ISVTX):
        raise OSError(errno.EPERM, "a directory on its path may be written to by others")


def _hint(error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return _FULL
    return MISSING_HINT if isinstance(error, FileNotFoundError) else _ANOTHER_USER
