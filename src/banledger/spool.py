"""The reading side of the spool: segments as they grow, set aside, removed when all of it is in the ledger.

Theory of operation. The action writes segments (`docs/spool-format.md`) and holds a lock on each one that it may
still write to. `read` hands out the next lines of all segments; when they are safe in the ledger, `commit` moves the
marks on, and removes segments that are read to the end and whose lock can be had. No position is kept on disk: after
a restart what is left is read again, which is harmless because ids are computed and merging is idempotent.

Nothing here trusts the directory: only regular files with one link and an expected owner are opened, never through a
link, never waiting; a line of any length takes bounded memory.
"""

import fcntl
import hashlib
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import force_setattr

from banledger.errors import SpoolError
from banledger.model import VERSION, Event, GapLine, Line, Undecodable, Unknown, decode
from banledger.position import Loss, Position

REJECTED = "rejected"
"""The folder inside the spool for lines that can't be understood."""

_SEGMENT = re.compile(r"\d{13}-([0-9a-f]{8})-(\d{1,9})\.jsonl")
_FRESH_S = 60  # how long an empty segment is left to its writer, from when it is first seen
_CHUNK = 1 << 20
_OPEN_AT_ONCE = 64
_BYTES_AT_ONCE = 16 << 20
_REJECTED_FILES = 1000
_REJECTED_BYTES = 16 << 10
_REJECTED_SAID = 5
_KINDS_SAID = 100
_WENT_BACK = "the store went back, and the spool holds these lines no longer; at most so many bans"
_VANISHED = "lines vanished from the spool; at most so many bans"

_log = logging.getLogger("banledger")


class _Segment:
    """One open segment. `offset` is where unread lines begin, `committed` where lines not in the ledger begin.

    All moments are those of `Spool.read`: elapsed time.
    """

    def __init__(self, name: str, writer: str, fd: int, opened: float) -> None:
        self.name = name
        self.writer = writer
        self.fd = fd
        self.opened = opened
        self.offset = self.committed = 0
        self.skipping = False  # inside a line too long to be one
        self.live = False  # its writer holds the lock
        self.gone = False  # its name is no longer in the directory
        self.finished: float | None = None  # when it was read to the end, and nobody wrote to it any more
        self.marks = deque([(0.0, 0)])  # (moment, committed) of the past, as far as it may have to be read again
        self.kept = False  # holds something that must wait


class _Rejected(Struct, frozen=True):
    line: bytes
    reason: str
    segment: _Segment


class _Missing(Struct, frozen=True):
    """Lines of a writer, from number `first` to the gap's, that were not there when the next one was read."""

    writer: str
    first: int
    gap: GapLine

    def hold(self, writer: str, seq: int) -> bool:
        """Whether that line is one of them: then they came late and are not lost."""
        return writer == self.writer and self.first <= seq <= self.gap.seq


class Spool:
    """The segments of one directory. Used by one thread. Raises SpoolError where the directory can't be read."""

    def __init__(self, directory: Path, *, keep_s: float = 0.0) -> None:
        """`keep_s`: how long to keep what was committed, so that `rewind` can go back so far."""
        self.directory = directory
        self.keep_s = keep_s
        self._now = 0.0
        self._bytes = 0  # of the lines of this read
        self._segments: dict[str, _Segment] = {}
        self._refused: set[str] = set()
        self._kept: set[str] = set()
        self._rejected: list[_Rejected] = []
        self._next_seq: dict[str, tuple[int, float]] = {}
        self._about: dict[str, tuple[str, str, int]] = {}  # by writer: server, jail, first line number
        self._followed: dict[str, tuple[int, float] | None] = {}  # what was next of whom since the last commit
        self._lost: dict[str, Loss] = {}  # by writer; as far as the spool doesn't hold it, a gap
        self._unopened = self._caught_up = False
        self._missing: list[_Missing] = []
        self._suspected: list[_Missing] = []
        self._reported: list[_Missing] = []
        self._skipped = 0
        self._unknown_kinds: set[str] = set()
        self._passed_any = False
        self.skipped = 0
        """Lines of unknown kinds that were committed."""

    @property
    def missing(self) -> bool:
        """Whether there is no such directory, so that nothing can wait in it."""
        try:
            return not stat.S_ISDIR(self.directory.stat().st_mode)
        except OSError as error:
            return isinstance(error, FileNotFoundError | NotADirectoryError)

    def close(self) -> None:
        """Let go of every segment; what is not committed will be read again."""
        for segment in self._segments.values():
            os.close(segment.fd)
        self._segments.clear()

    def read(self, now: float, limit: int) -> list[Event]:
        """The next lines, about `limit` at most. Repeats them after `rollback` or a restart.

        `now`: seconds that never go back, from any zero. The wall clock may jump, and decides nothing here.
        """
        self._now = now
        self._bytes = 0
        try:
            self._scan()
            self._reported, self._suspected, self._missing = self._suspected, self._missing, []
            for missing in self._reported:
                self._note(missing.writer)
            events: list[Event] = [missing.gap for missing in self._reported]
            for segment in self._segments.values():
                if self._full(events, limit):
                    break
                self._read_segment(segment, now, limit, events)
            self._caught_up = not (self._unopened or self._full(events, limit))
            if self._caught_up:
                self._miss_the_lost()
        except OSError as error:
            raise SpoolError(
                f"can't read the spool {self.directory}: {error.strerror}",
                hint="systemd-tmpfiles --create makes it; or name another with --spool or BANLEDGER_SPOOL",
            ) from error
        return events

    def _full(self, events: list[Event], limit: int) -> bool:
        """Lines that are no events take time and memory too."""
        return self._taken(events) >= limit or self._bytes >= _BYTES_AT_ONCE

    def _taken(self, events: list[Event]) -> int:
        return len(events) + len(self._rejected) + self._skipped

    @property
    def doubtful(self) -> bool:
        """Whether the next `read` may have more to say though this one found no event."""
        return bool(self._missing or self._suspected or self._passed_any or self._lost)

    @property
    def caught_up(self) -> bool:
        """Whether the last `read` left nothing."""
        return self._caught_up

    def positions(self) -> list[Position]:
        """How far the lines of each writer are read since the last commit: whatever is below was handed out."""
        return [position for writer in sorted(self._followed) if (position := self._position(writer)) is not None]

    def _position(self, writer: str) -> Position | None:
        if writer not in self._next_seq or writer not in self._about:
            return None
        following, seen = self._next_seq[writer]
        server, jail, first = self._about[writer]
        unsure = [missing.first for missing in (*self._missing, *self._suspected) if missing.writer == writer]
        last = min([following, *unsure]) - 1
        return Position(server, writer, jail, first, last, seen) if last >= first else None

    def expect(self, positions: Iterable[Position]) -> None:
        """The store has recorded so much: of a writer that was not read yet, the next line must follow on that."""
        for position in positions:
            self._next_seq.setdefault(position.writer, (position.last + 1, position.seen))
            self._about.setdefault(position.writer, (position.server, position.jail, position.first))

    def commit(self) -> int:
        """All that was read is safe: set aside what was no event, remove what is finished. How many were removed."""
        self._passed_any = bool(self._rejected or self._skipped)
        self._set_all_aside()
        self.skipped += self._skipped
        self._skipped = 0
        self._reported = []
        self._followed.clear()
        if self._caught_up:
            self._lost.clear()
        removed = 0
        for segment in list(self._segments.values()):
            self._mark(segment)
            if segment.finished is not None and self._now - segment.finished >= self.keep_s:
                removed += self._dismiss(segment)
        return removed

    def _mark(self, segment: _Segment) -> None:
        if segment.committed != segment.offset:
            segment.committed = segment.offset
            segment.marks.append((self._now, segment.offset))
        while len(segment.marks) > 1 and segment.marks[1][0] <= self._now - self.keep_s:
            segment.marks.popleft()

    def rollback(self) -> None:
        """What was read is not in the ledger: read it again."""
        self._rejected.clear()
        self._skipped = 0
        self._missing += self._reported
        self._reported = []
        self._unfollow()
        for segment in self._segments.values():
            segment.offset = segment.committed
            segment.finished = None
            segment.skipping = False

    def _note(self, writer: str) -> None:
        self._followed.setdefault(writer, self._next_seq.get(writer))

    def _unfollow(self) -> None:
        """Expect of each writer what was expected at the last commit; what is missing will be noticed again."""
        for writer, following in self._followed.items():
            if following is None:
                self._next_seq.pop(writer, None)
                self._about.pop(writer, None)
            else:
                self._next_seq[writer] = following
        self._missing, self._suspected = (
            [lines for lines in several if not self._is_read_again(lines)]
            for several in (self._missing, self._suspected)
        )
        self._followed.clear()

    def _is_read_again(self, lines: _Missing) -> bool:
        following = self._followed.get(lines.writer)
        return lines.writer in self._followed and (following is None or lines.first >= following[0])

    def rewind(self) -> None:
        """What was committed in the last `keep_s` seconds may be lost after all: read it again."""
        self.rollback()
        for segment in self._segments.values():
            while len(segment.marks) > 1 and segment.marks[-1][0] > self._now - self.keep_s:
                segment.marks.pop()
            segment.offset = segment.committed = segment.marks[-1][1]

    def reread(self, losses: Iterable[Loss]) -> None:
        """The store lost lines: read again all that is there. What is not, of these, becomes a gap."""
        self.rollback()
        for segment in self._segments.values():
            segment.offset = segment.committed = 0
            segment.marks = deque([(0.0, 0)])
        for loss in losses:
            known = loss.known
            self._lost[known.writer] = loss
            self._next_seq[known.writer] = (loss.first, loss.since)
            self._about[known.writer] = (known.server, known.jail, known.first)
        self._missing = [missing for missing in self._missing if missing.writer not in self._lost]
        self._suspected = [missing for missing in self._suspected if missing.writer not in self._lost]

    def _miss_the_lost(self) -> None:
        """All was read that is there: what is still expected of the lines that the store lost does not come."""
        for writer, loss in self._lost.items():
            known, (expected, since) = loss.known, self._next_seq.get(writer, (loss.first, loss.since))
            if expected <= known.last:
                self._note(writer)
                self._miss(writer, expected, known.last, known, since)
                self._next_seq[writer] = (known.last + 1, known.seen)

    def _scan(self) -> None:
        """Open new segments, oldest first and a writer's in their order."""
        names = set(os.listdir(self.directory))  # noqa: PTH208  # ten times a second
        new = sorted(name for name in names - self._segments.keys() - self._kept if _SEGMENT.fullmatch(name))
        backlog = sum(not segment.live and segment.finished is None for segment in self._segments.values())
        self._unopened = False
        for name in new:
            if backlog >= _OPEN_AT_ONCE:
                self._unopened = True
                break
            backlog += self._open(name)
        for segment in self._segments.values():
            segment.gone = segment.name not in names
        self._refused &= names
        self._kept &= names

    def _open(self, name: str) -> bool:
        try:
            fd = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._refuse(name, str(error.strerror))
            return False
        if fault := _fault(os.fstat(fd), self.directory):
            os.close(fd)
            self._refuse(name, fault)
            return False
        match = _SEGMENT.fullmatch(name)
        assert match is not None  # noqa: S101  # _scan chose it by this pattern
        if match[2] == "1":
            self._next_seq.setdefault(match[1], (1, 0.0))
        self._segments[name] = _Segment(name, match[1], fd, self._now)
        return True

    def _refuse(self, name: str, reason: str) -> None:
        if name not in self._refused:
            self._refused.add(name)
            _log.warning("left alone in the spool: %r (%s)", name, reason)

    def _read_segment(self, segment: _Segment, now: float, limit: int, events: list[Event]) -> None:
        if segment.finished is not None:
            return
        status = os.fstat(segment.fd)
        if status.st_size != segment.offset:
            self._read_lines(segment, limit, events)
        if self._full(events, limit) or not (segment.gone or self._may_finish(segment, status, now)):
            return
        # Nobody writes to it any more: whatever came since is the last of it.
        self._read_lines(segment, limit, events)
        if not self._full(events, limit):
            self._read_fragment(segment)
            segment.finished = now

    def _may_finish(self, segment: _Segment, status: os.stat_result, now: float) -> bool:
        if status.st_size == 0 and now - segment.opened < _FRESH_S and status.st_nlink:
            return False  # its writer may be about to lock it
        try:
            fcntl.flock(segment.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            segment.live = True
            return False
        segment.live = False
        return True

    def _read_lines(self, segment: _Segment, limit: int, events: list[Event]) -> None:
        if os.fstat(segment.fd).st_size < segment.offset:
            segment.offset = 0
        while not self._full(events, limit):
            chunk = os.pread(segment.fd, _CHUNK, segment.offset)
            end = chunk.rfind(b"\n") + 1
            if not end:
                if len(chunk) < _CHUNK:
                    return
                self._skip_long(segment, chunk)
                continue
            lines = chunk[:end].split(b"\n")[:-1]
            if segment.skipping:
                segment.offset += len(lines.pop(0)) + 1
                segment.skipping = False
            for line in lines:
                segment.offset += len(line) + 1
                self._take(segment, line, events)
                if self._full(events, limit):
                    break

    def _take(self, segment: _Segment, line: bytes, events: list[Event]) -> None:
        try:
            event = decode(line)
        except Undecodable as error:
            self._not_an_event(segment, line, error)
            return
        self._follow(segment.writer, event)
        if isinstance(event, Unknown):
            self._skip_kind(event.kind)
        else:
            force_setattr(event, "writer", segment.writer)
            self._bytes += len(line)
            events.append(event)

    def _skip_kind(self, kind: str) -> None:
        """A later action wrote the line. Logged once per kind."""
        self._skipped += 1
        if kind not in self._unknown_kinds and len(self._unknown_kinds) < _KINDS_SAID:
            self._unknown_kinds.add(kind)
            _log.warning("skipping lines of unknown kind %r: upgrade banledger", kind)

    def _not_an_event(self, segment: _Segment, line: bytes, error: Undecodable) -> None:
        if not error.newer:
            self._rejected.append(_Rejected(line[:_REJECTED_BYTES], str(error), segment))
            return
        self._note(segment.writer)
        self._next_seq.pop(segment.writer, None)
        if not segment.kept:
            segment.kept = True
            _log.error(
                "%r holds lines of %s, this banledger knows version %d: they wait there; upgrade banledger",
                segment.name,
                error,
                VERSION,
            )

    def _skip_long(self, segment: _Segment, chunk: bytes) -> None:
        """A line longer than any event: pass over it, keep its beginning."""
        if not segment.skipping:
            self._rejected.append(_Rejected(chunk[:_REJECTED_BYTES], "line too long", segment))
        segment.skipping = True
        segment.offset += len(chunk)

    def _read_fragment(self, segment: _Segment) -> None:
        """What stands behind the last newline of a finished segment was torn off."""
        rest = os.pread(segment.fd, _CHUNK, segment.offset)
        segment.offset += len(rest)
        if rest and not segment.skipping:
            self._rejected.append(_Rejected(rest[:_REJECTED_BYTES], "torn line", segment))

    def _follow(self, writer: str, event: Line) -> None:
        """Notice line numbers that are not there. Believed only if the next scan does not bring them."""
        self._suspected = [lines for lines in self._suspected if not lines.hold(writer, event.seq)]
        self._missing = [lines for lines in self._missing if not lines.hold(writer, event.seq)]
        self._note(writer)
        expected, since = self._next_seq.get(writer, (event.seq, 0.0))
        if event.seq > expected:
            self._miss(writer, expected, event.seq - 1, event, since)
        if len(self._next_seq) > 10_000:
            self._next_seq.clear()
            self._about.clear()
        if event.seq >= expected:
            self._next_seq[writer] = (event.seq + 1, event.seen)
        self._about.setdefault(writer, (event.server, event.jail, min(expected, event.seq)))

    def _miss(self, writer: str, first: int, last: int, about: Line | Position, since: float) -> None:
        """Lines `first` to `last` of a writer are not there."""
        reason = _WENT_BACK if writer in self._lost else _VANISHED
        gap = GapLine(
            v=VERSION,
            seen=about.seen,
            seq=last,
            server=about.server,
            jail=about.jail,
            since=since or about.seen,
            bans=last - first + 1,
            reason=f"{reason} (writer {writer})",
        )
        self._missing.append(_Missing(writer, first, gap))

    def _set_all_aside(self) -> None:
        """Keep what was no event, in a folder that can't grow for ever."""
        if not self._rejected:
            return
        folder = self.directory / REJECTED
        for rejected in self._rejected[:_REJECTED_SAID]:
            _log.warning("set aside from %r: %r (see %s)", rejected.segment.name, rejected.reason, folder)
        if len(self._rejected) > _REJECTED_SAID:
            _log.warning("set aside: %d lines more", len(self._rejected) - _REJECTED_SAID)
        try:
            folder.mkdir(mode=0o750, exist_ok=True)
            room = _REJECTED_FILES - sum(1 for _ in folder.iterdir())
            for rejected in self._rejected:
                room -= room > 0 and _write_once(folder, rejected)
        except OSError as error:
            _log.error("can't set lines aside in %s (%s): they stay in the spool", folder, error.strerror)
            for rejected in self._rejected:
                rejected.segment.kept = True
        self._rejected.clear()

    def _dismiss(self, segment: _Segment) -> int:
        """Forget a finished segment and, unless something in it must wait, remove it."""
        del self._segments[segment.name]
        try:
            if segment.kept:
                self._kept.add(segment.name)
                return 0
            path = self.directory / segment.name
            with suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(path), os.fstat(segment.fd)):
                    path.unlink()
            return 1
        except OSError as error:
            self._kept.add(segment.name)
            _log.error("can't remove %r from the spool: %s", segment.name, error.strerror)
            return 0
        finally:
            os.close(segment.fd)


def _write_once(folder: Path, rejected: _Rejected) -> bool:
    """Keep a line under its hash, whole or not at all. False if it is there already; raises OSError."""
    path = folder / hashlib.sha256(rejected.line).hexdigest()[:32]
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        return False
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(b"reason: " + rejected.reason.encode("utf-8", "replace") + b"\n\n" + rejected.line)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def _fault(status: os.stat_result, directory: Path) -> str:
    """Why this is no segment that we should read, or nothing."""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_nlink > 1:
        return "has several links"
    return "" if status.st_uid in (0, os.geteuid(), directory.stat().st_uid) else "foreign owner"
