"""The spool's directory: which of its files are segments that may be read. Nothing in it is trusted.

A file is judged by `lstat` before it is opened and by `fstat` after: a regular file, one link, an owner that is root,
this process or the directory's. Everything is relative to one descriptor, no link is followed. What is ignored is
logged at most once an hour, all of it in one line. Looks are rare where the directory is large: `NAMES_PER_S` names a
second at most, so that strangers' files take little of the time.
"""

import logging
import os
import re
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SEGMENT = re.compile(r"[0-9]{13}-([0-9a-f]{8})-([0-9]{1,9})\.jsonl")
"""A segment's name: milliseconds, writer, number."""

NAMES_PER_S = 20_000
_FEW = 2000  # so many names are looked at each time
_MOST = 2_000_000  # so many at all: a look must end, also while somebody adds names
_SAY_EVERY_S = 3600.0
_PATIENCE_S = 10.0  # its writer opens a segment to the group a moment after it made it
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_log = logging.getLogger("banledger")


class Directory:
    """One spool directory, looked at again and again. Used by one thread. Its methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._due = 0.0
        self._faults: dict[str, str] = {}  # of this look: at most one name for each fault
        self._ignored = 0
        self._shut: dict[str, float] = {}  # segments that can't be opened, since when
        self._said = -_SAY_EVERY_S
        self._said_large = False

    @property
    def missing(self) -> bool:
        """Whether there is no such directory."""
        try:
            return not stat.S_ISDIR(self.path.stat().st_mode)
        except OSError as error:
            return isinstance(error, FileNotFoundError | NotADirectoryError)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the directory."""
        fd = os.open(self.path, _DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def look(self, fd: int, now: float, known: Container[str]) -> dict[str, int] | None:
        """The segments there: name and inode, 0 for a name that is `known`. None: it is too early for another look.

        `now`: elapsed seconds.
        """
        if now < self._due:
            return None
        self._faults, self._ignored = {}, 0
        owners = self._owners(fd)
        names = 0
        segments: dict[str, int] = {}
        with os.scandir(fd) as entries:
            for entry in entries:
                names += 1
                if names > _MOST:
                    break
                if not SEGMENT.fullmatch(entry.name):
                    continue
                if entry.name in known:
                    segments[entry.name] = 0
                elif inode := self._judge(entry, owners):
                    segments[entry.name] = inode
        self._due = now + names / NAMES_PER_S if names > _FEW else now
        self._shut = {name: since for name, since in self._shut.items() if name in segments}
        self._say(now, names)
        return segments

    def _owners(self, fd: int) -> tuple[int, ...]:
        return 0, os.geteuid(), os.fstat(fd).st_uid

    def _judge(self, entry: "os.DirEntry[str]", owners: tuple[int, ...]) -> int:
        """The inode of a segment, 0 of what is none."""
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return 0
        if fault := _fault(status, owners):
            self._ignore(entry.name, fault)
            return 0
        return status.st_ino

    def _ignore(self, name: str, fault: str) -> None:
        self._ignored += 1
        self._faults.setdefault(fault, name)

    def open_segment(self, fd: int, name: str, now: float) -> int | None:
        """A descriptor of a segment; None if it is gone or must not be read."""
        try:
            segment = os.open(name, _OPEN, dir_fd=fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if now - self._shut.setdefault(name, now) >= _PATIENCE_S:
                self._ignore(name, str(error.strerror))
                self._say(now, 0)
            return None
        if fault := _fault(os.fstat(segment), self._owners(fd)):
            os.close(segment)
            self._ignore(name, fault)
            return None
        self._shut.pop(name, None)
        return segment

    def remove(self, fd: int, name: str, inode: int) -> bool:
        """Remove a segment, unless that name is another file's by now. False where it can't be removed."""
        try:
            with suppress(FileNotFoundError):
                if os.stat(name, dir_fd=fd, follow_symlinks=False).st_ino == inode:
                    os.unlink(name, dir_fd=fd)
        except OSError as error:
            _log.error("can't remove %r from the spool: %s", name, error.strerror)
            return False
        return True

    def _say(self, now: float, names: int) -> None:
        if self._ignored and now - self._said >= _SAY_EVERY_S:
            self._said = now
            shown = ", ".join(f"{name[:80]!r} ({fault})" for fault, name in self._faults.items())
            _log.warning("ignoring files in spool that are no readable segments: %d, %s", self._ignored, shown)
        large = names > NAMES_PER_S
        if large and not self._said_large:
            self._said_large = True
            _log.warning("%d files are in the spool: new bans are noticed every %.0f s", names, names / NAMES_PER_S)


def _fault(status: os.stat_result, owners: tuple[int, ...]) -> str:
    """Why this is no segment that we should read, or nothing."""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_uid not in owners:
        return "foreign owner"
    return "has several links" if status.st_nlink > 1 else ""
