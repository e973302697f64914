"""One open segment of the spool: its lines, and how far they are read and committed."""

import fcntl
import os
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

TOO_LONG = "line too long"

_FRESH_S = 60  # how long an empty segment is left to its writer, from when it is first seen
_CHUNK = 1 << 20


class _Committed(NamedTuple):
    """State of a commit: all bytes before `offset`; `skipping`: it lies inside a line that is too long."""

    moment: float = 0.0
    offset: int = 0
    skipping: bool = False


class OpenSegment:
    """An open segment, identified by its descriptor: its name may change. Times are elapsed. Methods raise OSError.

    writer    the writer's name: from the segment's name until a line names it
    seq       the last number of a line that names its writer
    seen      when its last line was written, UTC epoch seconds; 0: none was read
    live      whether its writer holds the lock
    finished  when it was read to the end and its writer was done; None: not yet
    kept      whether it holds lines that must wait
    passed    whether it has lines of labels that are held back
    """

    def __init__(self, name: str, writer: str, fd: int, opened: float) -> None:
        self.name = name
        self.writer = writer
        self.fd = fd
        self.seq = 0
        self.seen = 0.0
        self.live = self.kept = False
        self._opened = opened
        self.restart()

    def restart(self) -> None:
        """Read it from its beginning, as if nothing were committed."""
        self._marks = deque([_Committed()])  # earlier commits, as far back as it may have to be read again
        self.passed = False
        self.rollback()

    def rollback(self) -> None:
        """Go back to the last commit."""
        _, self._offset, self._skipping = self._marks[-1]
        self.finished: float | None = None

    def rewind(self, moment: float) -> None:
        """Go back to the last commit before that moment."""
        while len(self._marks) > 1 and self._marks[-1].moment > moment:
            self._marks.pop()
        self.rollback()

    def commit(self, now: float, keep_s: float) -> None:
        """Commit what was read; `rewind` can go back `keep_s` seconds from now on."""
        marks = self._marks
        if marks[-1].offset != self._offset:
            marks.append(_Committed(now, self._offset, self._skipping))
        while len(marks) > 1 and marks[1].moment <= now - keep_s:
            marks.popleft()

    def lines(self) -> Iterator[tuple[bytes, str | None]]:
        """Yield the next whole lines, each read when it is yielded.

        Each comes with its fault: empty for none, TOO_LONG for the beginning of a line that is too long, None for the
        rest of it.
        """
        status = os.fstat(self.fd)
        if status.st_size == self._offset:
            return
        if status.st_size < self._offset:
            self._offset = 0
        while True:
            chunk = os.pread(self.fd, _CHUNK, self._offset)
            end = chunk.rfind(b"\n") + 1
            if not end:
                if len(chunk) < _CHUNK:
                    return
                fault = None if self._skipping else TOO_LONG
                self._skipping = True
                self._offset += len(chunk)
                yield chunk, fault
                continue
            lines = chunk[:end].split(b"\n")[:-1]
            if self._skipping:
                self._offset += len(lines.pop(0)) + 1
                self._skipping = False
            for line in lines:
                self._offset += len(line) + 1
                yield line, ""

    @property
    def unread(self) -> int:
        """Bytes that were not read."""
        return max(0, os.fstat(self.fd).st_size - self._offset)

    def fragment(self) -> bytes:
        """The text behind the last newline of a finished segment: a torn line."""
        rest = os.pread(self.fd, _CHUNK, self._offset)
        self._offset += len(rest)
        return b"" if self._skipping else rest

    def may_finish(self, now: float, reached: int) -> bool:
        """Whether its writer is done with it. `reached`: the writer's highest known number."""
        status = os.fstat(self.fd)
        if not status.st_nlink:
            return True
        if status.st_size == 0 and now - self._opened < _FRESH_S:
            return False  # its writer may be about to lock it
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.live = False
        except OSError:
            # Any reader can lock a segment. Its writer is done with it if it has moved on to another one.
            self.live = not 0 < self.seq < reached
        return not self.live

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)
