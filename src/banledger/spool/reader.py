"""The reading side of the spool: segments as they grow, set aside, removed when all of it is in the ledger.

Theory of operation. The action writes segments (`docs/spool-format.md`) and holds a lock on each one that it may
still write to. `read` hands out the next lines of all segments; when they are safe in the ledger, `commit` moves the
marks on, and removes segments that are read to the end and whose lock can be had. No position is kept on disk: after
a restart what is left is read again, which is harmless because ids are computed and merging is idempotent.

Nothing here trusts the directory (`directory.py`): whoever may write to it may rename segments, link to them and hold
locks on them. So an open segment is known by its inode, not its name; lines say who wrote them, since a name may lie;
and a segment whose writer went on in another one is finished though somebody holds its lock. A line of any length takes
bounded memory, and so do all lines of one `read`.
"""

import fcntl
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from banledger.errors import SpoolError
from banledger.spool.directory import SEGMENT, Directory
from banledger.spool.events import VERSION, Event, GapLine, HeldLine, Line, Undecodable, Unknown, bears_label, decode
from banledger.spool.position import Loss, Position
from banledger.spool.quarantine import REJECTED, Rejected, set_aside

__all__ = ["REJECTED", "SpoolReader"]

_WRITER = re.compile(r"[0-9a-f]{8}")
_FRESH_S = 60  # how long an empty segment is left to its writer, from when it is first seen
_CHUNK = 1 << 20
_OPEN_AT_ONCE = 64
_BYTES_AT_ONCE = 16 << 20
_HELD_AT_ONCE = 20_000
_REJECTED_BYTES = 16 << 10
_KINDS_SAID = 100
_WENT_BACK = "the store went back, and the spool holds these lines no longer; at most so many bans"
_VANISHED = "lines vanished from the spool; at most so many bans"

_log = logging.getLogger("banledger")


class _Segment:
    """One open segment. `offset` is where unread lines begin, `committed` where lines not in the ledger begin.

    All moments are those of `SpoolReader.read`: elapsed time.
    """

    def __init__(self, name: str, writer: str, fd: int, opened: float) -> None:
        self.name = name
        self.writer = writer  # by its name, until a line says
        self.seq = 0  # the last number of a line that says who wrote it
        self.fd = fd
        self.opened = opened
        self.offset = self.committed = 0
        self.skipping = False  # inside a line too long to be one
        self.live = False  # its writer holds the lock
        self.passed = False  # has lines of labels that are held back
        self.finished: float | None = None  # when it was read to the end, and nobody wrote to it any more
        self.marks = deque([(0.0, 0)])  # (moment, committed) of the past, as far as it may have to be read again
        self.kept = False  # holds something that must wait


class _Missing(Struct, frozen=True):
    """Lines of a writer, from number `first` to the gap's, that were not there when the next one was read."""

    writer: str
    first: int
    gap: GapLine

    def without(self, writer: str, first: int, last: int) -> "list[_Missing]":
        """Those that are missing still when these lines of that writer are not: they came late, or are recorded."""
        if writer != self.writer or last < self.first or first > self.gap.seq:
            return [self]
        parts = ((self.first, first - 1), (last + 1, self.gap.seq))
        return [self._part(*part) for part in parts if part[0] <= part[1]]

    def _part(self, first: int, last: int) -> "_Missing":
        return _Missing(self.writer, first, replace(self.gap, seq=last, bans=last - first + 1))


class SpoolReader:
    """The segments of one directory. Used by one thread. Raises SpoolError where the directory can't be read."""

    def __init__(self, directory: Path, *, keep_s: float = 0.0) -> None:
        """`keep_s`: how long to keep what was committed, so that `rewind` can go back so far."""
        self.directory = directory
        self._directory = Directory(directory)
        self.keep_s = keep_s
        self._now = 0.0
        self._bytes = 0  # of the lines of this read
        self._held = 0  # bans in snapshots of this read
        self._segments: dict[int, _Segment] = {}  # by inode
        self._kept: set[tuple[str, int]] = set()
        self._rejected: list[Rejected] = []
        self._rejected_in: list[_Segment] = []
        self._next_seq: dict[str, tuple[int, float]] = {}
        self._written: dict[str, int] = {}  # the last number of each writer, by lines that say who wrote them
        self._about: dict[str, tuple[str, str, int]] = {}  # by writer: server, jail, first line number
        self._followed: dict[str, tuple[int, float] | None] = {}  # what was next of whom since the last commit
        self._lost: dict[str, Loss] = {}  # by writer; as far as the spool doesn't hold it, a gap
        self._awaited: dict[str, Loss] = {}  # by writer; the same for what was held back
        self._withheld: dict[str, Loss] = {}  # by writer: what was passed over of labels that are held back
        self._unopened = self._caught_up = False
        self._missing: list[_Missing] = []
        self._suspected: list[_Missing] = []
        self._reported: list[_Missing] = []
        self._skipped = 0
        self._unknown_kinds: set[str] = set()
        self._passed_any = False
        self._held_back: frozenset[str] = frozenset()
        self._held_segments: set[tuple[str, int]] = set()
        self._passed = 0
        self.alone = True
        """Whether nobody else removes segments; else missing numbers are no gap."""
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

    def begin_anew(self, *, alone: bool) -> None:
        """Another recorder may have recorded lines meanwhile: see `catch_up`. `alone`: none can from now on."""
        self.rollback()
        if not alone:
            self._missing, self._suspected = [], []
        self.alone = alone

    def read(self, now: float, limit: int) -> list[Event]:
        """The next lines, about `limit` or 16 MiB at most. Repeats them after `rollback` or a restart.

        `now`: seconds that never go back, from any zero. The wall clock may jump, and decides nothing here.
        """
        self._now = now
        self._bytes = self._held = 0
        try:
            self._scan()
            self._believe()
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

    def _believe(self) -> None:
        """Report what did not come with a read that left nothing: all segments that were there had been read."""
        found: list[_Missing] = []
        if self._caught_up:
            found, self._suspected = self._suspected, []
        self._caught_up = False
        self._suspected += self._missing
        self._missing = [missing for missing in found if missing.gap.server in self._held_back]
        self._reported = [missing for missing in found if missing.gap.server not in self._held_back]
        for missing in self._reported:
            self._note(missing.writer)

    def _full(self, events: list[Event], limit: int) -> bool:
        """Lines that are no events take time and memory too, and each ban in a snapshot may become an event."""
        return self._taken(events) >= limit or self._bytes >= _BYTES_AT_ONCE or self._held >= _HELD_AT_ONCE

    def _taken(self, events: list[Event]) -> int:
        return len(events) + len(self._rejected) + self._skipped + self._passed

    @property
    def doubtful(self) -> bool:
        """Whether the next `read` may have more to say though this one found no event."""
        waiting = (missing.gap.server not in self._held_back for missing in (*self._missing, *self._suspected))
        return not self._caught_up or self._passed_any or bool(self._lost) or any(waiting)

    def hold_back(self, labels: Collection[str]) -> bool:
        """From now on, keep the lines of these server labels (and of no others) in the spool, and read the rest.

        Lines of labels that are held back no longer are read again, with all that stands in their segments; those that
        are gone meanwhile are missed. What was read and not committed must be rolled back.

        Returns whether there are such labels: others may have recorded for them (see `catch_up`).
        """
        released = self._held_back - set(labels)
        self._held_back = frozenset(labels)
        if not released:
            return False
        for writer in [writer for writer, loss in self._withheld.items() if loss.known.server in released]:
            self._await(self._withheld.pop(writer))
        self._kept -= self._held_segments
        self._held_segments.clear()
        for segment in self._segments.values():
            if segment.passed:
                segment.offset = segment.committed = 0
                segment.marks = deque([(0.0, 0)])
                segment.passed, segment.finished = False, None
        return True

    def _await(self, withheld: Loss) -> None:
        """What was passed over is read again from the first of these lines."""
        writer = withheld.known.writer
        waiting = [lines for lines in (*self._missing, *self._suspected) if lines.writer == writer]
        last = max([withheld.known.last, *(lines.gap.seq for lines in waiting)])
        self._no_longer_missing(writer, withheld.first, last)
        known = replace(withheld.known, last=last)
        self._awaited[writer] = replace(withheld, known=known)
        self._next_seq[writer] = (withheld.first, withheld.since)

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
        if withheld := self._withheld.get(writer):
            unsure.append(withheld.first)
        last = min([following, *unsure]) - 1
        return Position(server, writer, jail, first, last, seen) if last >= first else None

    def expect(self, positions: Iterable[Position]) -> None:
        """The store has recorded so much: of a writer that was not read yet, the next line must follow on that."""
        for position in positions:
            self._next_seq.setdefault(position.writer, (position.last + 1, position.seen))
            self._about.setdefault(position.writer, (position.server, position.jail, position.first))

    def catch_up(self, positions: Iterable[Position]) -> None:
        """Others may have recorded lines of this spool, up to these: of those, nothing is missing."""
        for position in positions:
            expected, _ = self._next_seq.get(position.writer, (0, 0.0))
            if position.last >= expected:
                self._next_seq[position.writer] = (position.last + 1, position.seen)
            self._no_longer_missing(position.writer, position.first, position.last)
        self.expect(positions)

    def commit(self) -> int:
        """All that was read is safe: set aside what was no event, remove what is finished. How many were removed."""
        self._passed_any = bool(self._rejected or self._skipped or self._passed or self._bytes >= _BYTES_AT_ONCE)
        self._passed = 0
        self._set_all_aside()
        self.skipped += self._skipped
        self._skipped = 0
        self._reported = []
        self._followed.clear()
        if self._caught_up:
            self._lost.clear()
            self._awaited.clear()
        finished = []
        for inode, segment in self._segments.items():
            self._mark(segment)
            if segment.finished is not None and self._now - segment.finished >= self.keep_s:
                finished.append(inode)
        return self._dismiss(finished) if finished else 0

    def _mark(self, segment: _Segment) -> None:
        if segment.committed != segment.offset:
            segment.committed = segment.offset
            segment.marks.append((self._now, segment.offset))
        while len(segment.marks) > 1 and segment.marks[1][0] <= self._now - self.keep_s:
            segment.marks.popleft()

    def rollback(self) -> None:
        """What was read is not in the ledger: read it again."""
        self._rejected.clear()
        self._rejected_in.clear()
        self._skipped = self._passed = 0
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
        self._kept.clear()  # they may hold other lines than those that must wait
        self._held_segments.clear()
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
        for writer, loss in (*self._awaited.items(), *self._lost.items()):
            if writer not in self._next_seq:  # beside lines of a newer version none is missed
                continue
            known, (expected, since) = loss.known, self._next_seq[writer]
            if expected <= known.last:
                self._note(writer)
                self._miss(writer, expected, known.last, known, since)
                self._next_seq[writer] = (known.last + 1, known.seen)

    def _scan(self) -> None:
        """Open new segments, oldest first and a writer's in their order."""
        with self._directory.opened() as directory:
            names = {segment.name: inode for inode, segment in self._segments.items()}
            found = self._directory.look(directory, self._now, names)
            if found is None:
                self._unopened = True
                return
            backlog = sum(not segment.live and segment.finished is None for segment in self._segments.values())
            self._kept &= found.items()
            self._unopened = False
            for name in sorted(found.keys() - names.keys()):
                if known := self._segments.get(found[name]):
                    known.name = name if known.name not in found else known.name  # renamed
                elif (name, found[name]) in self._kept:
                    continue
                elif backlog < _OPEN_AT_ONCE:
                    backlog += self._open(directory, name)
                else:
                    self._unopened = True

    def _open(self, directory: int, name: str) -> bool:
        fd = self._directory.open_segment(directory, name, self._now)
        if fd is None:
            return False
        inode = os.fstat(fd).st_ino
        if inode in self._segments:
            os.close(fd)
            return False
        match = SEGMENT.fullmatch(name)
        assert match is not None  # noqa: S101  # the directory found it by this pattern
        if match[2] == "1":
            self._next_seq.setdefault(match[1], (1, 0.0))
        self._segments[inode] = _Segment(name, match[1], fd, self._now)
        return True

    def _read_segment(self, segment: _Segment, now: float, limit: int, events: list[Event]) -> None:
        if segment.finished is not None:
            return
        status = os.fstat(segment.fd)
        if status.st_size != segment.offset:
            self._read_lines(segment, limit, events)
        deleted = not status.st_nlink
        if self._full(events, limit) or not (deleted or self._may_finish(segment, status, now)):
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
            # Whoever may read a segment can lock it. Its writer is done with it if it went on in another one.
            segment.live = not 0 < segment.seq < self._written.get(segment.writer, 0)
            return not segment.live
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
        self._bytes += len(line)
        try:
            event = decode(line)
        except Undecodable as error:
            self._not_an_event(segment, line, error)
            return
        if _WRITER.fullmatch(event.writer):
            segment.writer = event.writer
            segment.seq = event.seq
            self._written[event.writer] = max(event.seq, self._written.get(event.writer, 0))
        self._follow(segment.writer, event)
        if isinstance(event, Unknown):
            self._skip_kind(event.kind)
        elif event.server in self._held_back and bears_label(event):
            self._pass_over(segment, event)
        else:
            force_setattr(event, "writer", segment.writer)
            if isinstance(event, HeldLine):
                self._held += len(event.bans)
            events.append(event)

    def _pass_over(self, segment: _Segment, event: Line) -> None:
        """Leave a line in the spool. How far its writer's lines are recorded ends before it."""
        self._passed += 1
        segment.passed = True
        withheld = self._withheld.get(segment.writer)
        first, last, since = event.seq, event.seq, event.seen
        if withheld is not None:
            since = withheld.since if withheld.first <= first else since
            first, last = min(first, withheld.first), max(last, withheld.known.last)
        known = Position(event.server, segment.writer, event.jail, first, last, event.seen)
        self._withheld[segment.writer] = Loss(known, first, since)

    def _skip_kind(self, kind: str) -> None:
        """A later action wrote the line. Logged once per kind."""
        self._skipped += 1
        if kind not in self._unknown_kinds and len(self._unknown_kinds) < _KINDS_SAID:
            self._unknown_kinds.add(kind)
            _log.warning("skipping lines of unknown kind %r: upgrade banledger", kind)

    def _not_an_event(self, segment: _Segment, line: bytes, error: Undecodable) -> None:
        if not error.newer:
            self._reject(segment, line, str(error))
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
            self._reject(segment, chunk, "line too long")
        segment.skipping = True
        segment.offset += len(chunk)
        self._bytes += len(chunk)

    def _read_fragment(self, segment: _Segment) -> None:
        """What stands behind the last newline of a finished segment was torn off."""
        rest = os.pread(segment.fd, _CHUNK, segment.offset)
        segment.offset += len(rest)
        if rest and not segment.skipping:
            self._reject(segment, rest, "torn line")

    def _reject(self, segment: _Segment, line: bytes, reason: str) -> None:
        self._rejected.append(Rejected(line[:_REJECTED_BYTES], reason, segment.name))
        self._rejected_in.append(segment)

    def _follow(self, writer: str, event: Line) -> None:
        """Notice line numbers that are not there. Believed only if the next complete read does not bring them."""
        if self._missing or self._suspected:
            self._no_longer_missing(writer, event.seq, event.seq)
        self._note(writer)
        expected, since = self._next_seq.get(writer, (event.seq, 0.0))
        if event.seq > expected and self.alone:
            self._miss(writer, expected, event.seq - 1, event, since)
        if len(self._next_seq) > 10_000:
            self._next_seq.clear()
            self._written.clear()
            self._about.clear()
        if event.seq >= expected:
            self._next_seq[writer] = (event.seq + 1, event.seen)
        self._about.setdefault(writer, (event.server, event.jail, min(expected, event.seq)))

    def _no_longer_missing(self, writer: str, first: int, last: int) -> None:
        """These lines of a writer came late, or are recorded."""
        self._missing, self._suspected = (
            [part for lines in several for part in lines.without(writer, first, last)]
            for several in (self._missing, self._suspected)
        )

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
        try:
            with self._directory.opened() as directory:
                set_aside(directory, self._rejected)
        except OSError as error:
            _log.error("can't set lines aside in %s (%s): they stay in the spool", REJECTED, error.strerror)
            for segment in self._rejected_in:
                segment.kept = True
        self._rejected.clear()
        self._rejected_in.clear()

    def _dismiss(self, finished: list[int]) -> int:
        """Forget finished segments and, unless something in them must wait, remove them. How many are gone."""
        try:
            with self._directory.opened() as directory:
                return sum([self._dismiss_one(directory, inode) for inode in finished])
        except FileNotFoundError:  # the directory went with all that was in it
            for inode in finished:
                os.close(self._segments.pop(inode).fd)
            return len(finished)
        except OSError:  # the next `read` says so
            return 0

    def _dismiss_one(self, directory: int, inode: int) -> bool:
        segment = self._segments.pop(inode)
        try:
            if segment.passed:
                self._held_segments.add((segment.name, inode))
            if segment.kept or segment.passed:
                self._kept.add((segment.name, inode))
                return False
            with suppress(FileNotFoundError):
                if os.stat(segment.name, dir_fd=directory, follow_symlinks=False).st_ino == inode:
                    os.unlink(segment.name, dir_fd=directory)
            return True
        except OSError as error:
            self._kept.add((segment.name, inode))
            _log.error("can't remove %r from the spool: %s", segment.name, error.strerror)
            return False
        finally:
            os.close(segment.fd)
