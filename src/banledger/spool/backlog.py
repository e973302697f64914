"""What waits in the spool: lines that nobody has read, and lines that are held back."""

import os
from collections.abc import Collection, Container, Iterable, Iterator
from itertools import islice
from math import inf

from msgspec import Struct

from banledger.spool.directory import SEGMENT, Directory
from banledger.spool.segment import OpenSegment

_LINE_BYTES = 400.0  # of a line, until some were read
_NAMES = 20_000  # looked at


class Backlog(Struct, frozen=True):
    """Waiting lines. `lines`: their number, estimated from `size`, bytes. `oldest`: UTC epoch seconds, if one waits."""

    lines: int = 0
    size: int = 0
    oldest: float | None = None


class HeldLines:
    """Counts the lines that are held back, and measures lines. Used by one thread."""

    def __init__(self) -> None:
        self._line_bytes = _LINE_BYTES
        self.clear()

    def clear(self) -> None:
        """The spool is read again from its beginning."""
        self._lines, self._new, self._oldest = 0, 0, inf

    def hold(self, seen: float) -> None:
        """Note a line that is held back, and when it was written (UTC epoch seconds)."""
        self._new += 1
        self._oldest = min(self._oldest, seen)

    def rollback(self) -> None:
        """The lines since the last commit are read again."""
        self._new = 0

    def commit(self) -> None:
        """The lines since the last commit are not read again."""
        self._lines, self._new = self._lines + self._new, 0

    def measure(self, lines: int, size: int) -> None:
        """Note the size of some lines in bytes."""
        if lines:
            self._line_bytes = max(1.0, size / lines)

    def backlog(self, directory: Directory, segments: Collection[OpenSegment], *, unopened: bool) -> Backlog:
        """Return what waits. `unopened`: there are more segments than these. Raises OSError."""
        unread = [
            (size, oldest) for one in segments if (size := one.unread) and (oldest := one.seen or began(one.name))
        ]
        if unopened:
            unread += _unopened(directory, {one.name for one in segments})
        size = sum(size for size, _ in unread)
        lines = self._lines + round(size / self._line_bytes)
        oldest = min([self._oldest if self._lines else inf, *(oldest for _, oldest in unread)])
        return Backlog(lines, size, oldest if oldest < inf else None)


def began(name: str) -> float:
    """Return when a segment was begun, from its name."""
    return int(name[:13]) / 1000


def _unopened(directory: Directory, opened: Container[str]) -> Iterator[tuple[int, float]]:
    with directory.opened() as fd, os.scandir(fd) as entries:
        yield from _sizes(islice(entries, _NAMES), opened)


def _sizes(entries: Iterable["os.DirEntry[str]"], opened: Container[str]) -> Iterator[tuple[int, float]]:
    for entry in entries:
        if SEGMENT.fullmatch(entry.name) and entry.name not in opened:
            yield entry.stat(follow_symlinks=False).st_size, began(entry.name)
