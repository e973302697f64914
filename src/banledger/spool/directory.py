"""The spool's directory: find the files that are readable segments. Nothing in it is trusted.

A file is checked by `lstat` before it is opened and by `fstat` after: a regular file with one link, owned by root, this
process's user or the directory's owner. Everything is relative to one descriptor; no link is followed. Ignored files
are logged at most once an hour, in one line. A large directory is listed less often, at most `NAMES_PER_S` names a
second, so that foreign files cost little time.
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

MISSING_HINT = "systemd-tmpfiles --create makes it; or name another with --spool or BANLEDGER_SPOOL"
"""What to do if there is no spool."""

NAMES_PER_S = 20_000
_FEW = 2000  # names read per listing
_MOST = 2_000_000  # the most per listing: it must end even while names are added
_SAY_EVERY_S = 3600.0
_PATIENCE_S = 10.0  # a writer gives the group access a moment after it creates the segment
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_log = logging.getLogger("banledger")


class Directory:
    """One spool directory, listed repeatedly. Used by one thread. Its methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._due = 0.0
        self._faults: dict[str, str] = {}  # of this listing: at most one name per fault
        self._ignored = 0
        self._shut: dict[str, float] = {}  # segments that can't be opened, since when
        self._said = -_SAY_EVERY_S
        self._said_large = False

    @property
    def missing(self) -> bool:
        """Whether the directory does not exist."""
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
        """List the segments: name and inode, 0 for a `known` name. None: it is too early for another listing.

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
        """The inode of a segment; 0 for any other file."""
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return 0
        if fault := fault_of(status, owners):
            self._ignore(entry.name, fault)
            return 0
        return status.st_ino

    def _ignore(self, name: str, fault: str) -> None:
        self._ignored += 1
        self._faults.setdefault(fault, name)

    def open_segment(self, fd: int, name: str, now: float) -> int | None:
        """Open a segment; None if it is gone or must not be read."""
        try:
            segment = os.open(name, _OPEN, dir_fd=fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if now - self._shut.setdefault(name, now) >= _PATIENCE_S:
                self._ignore(name, str(error.strerror))
                self._say(now, 0)
            return None
        if fault := fault_of(os.fstat(segment), self._owners(fd)):
            os.close(segment)
            self._ignore(name, fault)
            return None
        self._shut.pop(name, None)
        return segment

    def remove(self, fd: int, name: str, inode: int) -> bool:
        """Remove a segment, unless its name now belongs to another file. False if it can't be removed."""
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
            _log.warning("ignoring files in spool that are not readable segments: %d, %s", self._ignored, shown)
        large = names > NAMES_PER_S
        if large and not self._said_large:
            self._said_large = True
            _log.warning("%d files are in the spool: new bans are noticed every %.0f s", names, names / NAMES_PER_S)


def fault_of(status: os.stat_result, owners: tuple[int, ...]) -> str:
    """Why this file must not be read as a segment; empty if it may be."""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_uid not in owners:
        return "foreign owner"
    return "has several links" if status.st_nlink > 1 else ""
