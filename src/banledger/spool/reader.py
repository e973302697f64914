"""The reader of the spool: read segments as they grow, remove them when they are recorded.

Theory of operation. The action writes segments (`docs/spool-format.md`) and holds a lock on each one that it may
still write to. `read` returns the next lines of all segments. When they are safe in the ledger, `commit` advances
the offsets and removes segments that are read to the end and whose lock is free. No offset is kept on disk: after a
restart the remaining segments are read again, which is harmless because ids are computed and merging is idempotent.

The directory is not trusted (`directory.py`): members of its group may rename, link and lock segments. So an open
segment is identified by its inode, not its name; each line names its writer, because a file name may be false; and a
segment whose writer has moved on to another one is finished even if its lock is held. A line of any length takes
bounded memory, and so do all lines of one `read`.
"""

import logging
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from msgspec.structs import force_setattr

from banledger.errors import SpoolError
from banledger.spool.backlog import Backlog, HeldLines, began
from banledger.spool.directory import MISSING_HINT, Directory
from banledger.spool.events import VERSION, Event, HeldLine, Undecodable, Unknown, bears_label, decode
from banledger.spool.position import Loss
from banledger.spool.quarantine import Quarantine
from banledger.spool.segment import OpenSegment
from banledger.spool.sequence import Sequences

_WRITER = re.compile(r"[0-9a-f]{8}")
_OPEN_AT_ONCE = 64
_BYTES_AT_ONCE = 16 << 20
_HELD_AT_ONCE = 20_000
_KINDS_SAID = 100
_NEWER = "%r holds lines of %s, this banledger knows version %d: they wait there; upgrade banledger"

_log = logging.getLogger("banledger")


class SpoolReader:
    """The segments of one directory. Used by one thread. Raises SpoolError where the directory can't be read.

    keep_s     how long committed segments are kept, so that `rewind` can read them again
    numbers    line numbers of the writers: expected and missing
    quarantine sets invalid lines aside
    skipped    lines of unknown kinds that were committed
    caught_up  whether the last `read` left nothing
    """

    def __init__(self, directory: Path, *, keep_s: float = 0.0) -> None:
        self.directory = directory
        self.keep_s = keep_s
        self.skipped = 0
        self.caught_up = False
        self._directory = Directory(directory)
        self._now = 0.0
        self._bytes = self._held = self._passed = self._skipped = 0  # of this read
        self._worked = self._unopened = False
        self._segments: dict[int, OpenSegment] = {}  # by inode, in the order they are read
        self._left: set[tuple[str, int]] = set()  # name and inode of those that are read and stay
        self.quarantine = Quarantine()
        self._held_lines = HeldLines()
        self.numbers = Sequences()
        self._unknown_kinds: set[str] = set()

    @property
    def missing(self) -> bool:
        """Whether the directory does not exist."""
        return self._directory.missing

    def backlog(self) -> Backlog:
        """What waits in the spool. Raises OSError."""
        return self._held_lines.backlog(self._directory, self._segments.values(), unopened=self._unopened)

    @property
    def doubtful(self) -> bool:
        """Whether the next `read` may find more although this one found no event."""
        return self._worked or not self.caught_up or self.numbers.doubtful

    def close(self) -> None:
        """Close every segment; lines that are not committed will be read again."""
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()

    # Where to read.

    def begin_anew(self, *, alone: bool) -> None:
        """Expect no numbers: another recorder may have recorded lines. `alone`: from now on none can."""
        self._restart()
        self.numbers.clear()
        self.numbers.alone = alone

    def hold_back(self, labels: Collection[str]) -> frozenset[str]:
        """From now on keep lines of exactly these server labels in the spool, and read the rest.

        If labels are released, the whole spool is read again; returns them. Roll back uncommitted lines first.
        """
        released = self.numbers.held_back - set(labels)
        if released:
            self._restart()
        self.numbers.hold_back(frozenset(labels))
        return released

    def rollback(self) -> None:
        """Lines since the last commit are not in the ledger: read them again."""
        self.quarantine.clear()
        self._held_lines.rollback()
        self._skipped = self._passed = 0
        self.caught_up = False
        self.numbers.rollback()
        for segment in self._segments.values():
            segment.rollback()

    def rewind(self) -> None:
        """Lines committed in the last `keep_s` seconds may be lost: read them again."""
        self.rollback()
        for segment in self._segments.values():
            segment.rewind(self._now - self.keep_s)

    def reread(self, losses: Iterable[Loss]) -> None:
        """The store lost lines: read the whole spool again. Lost lines that it no longer holds become a gap."""
        self._restart()
        self.numbers.lose(losses)

    def _restart(self) -> None:
        """Read the whole spool from its beginning, including segments that were read and closed."""
        self.rollback()
        self._left.clear()
        self._held_lines.clear()
        for segment in self._segments.values():
            segment.restart()

    # Reading.

    def read(self, now: float, limit: int) -> list[Event]:
        """Return the next lines, at most about `limit` or 16 MiB. Repeats them after `rollback` or a restart.

        `now`: elapsed seconds, from any zero. The wall clock plays no part here.
        """
        self._now = now
        self._bytes = self._held = 0
        try:
            self._scan()
            events: list[Event] = [*self.numbers.look(complete=self.caught_up)]
            for segment in self._segments.values():
                if self._full(events, limit):
                    break
                if segment.finished is None:
                    self._read_segment(segment, limit, events)
            self._held_lines.measure(len(events) + self._passed, self._bytes)
            self.caught_up = not (self._unopened or self._full(events, limit))
            if self.caught_up:
                self.numbers.end()
        except OSError as error:
            raise SpoolError(f"can't read the spool {self.directory}: {error.strerror}", hint=MISSING_HINT) from error
        return events

    def _full(self, events: list[Event], limit: int) -> bool:
        """The cost of a line: invalid lines count too, and each ban in a snapshot may become an event."""
        lines = len(events) + len(self.quarantine) + self._skipped + self._passed
        return lines >= limit or self._bytes >= _BYTES_AT_ONCE or self._held >= _HELD_AT_ONCE

    def _scan(self) -> None:
        """Open new segments, oldest first and a writer's in their order."""
        with self._directory.opened() as directory:
            names = {segment.name: inode for inode, segment in self._segments.items()}
            found = self._directory.look(directory, self._now, names)
            self._unopened = found is None
            if found is None:
                return
            backlog = sum(not segment.live and segment.finished is None for segment in self._segments.values())
            self._left &= found.items()
            for name in sorted(found.keys() - names.keys()):
                if known := self._segments.get(found[name]):
                    known.name = name if known.name not in found else known.name  # renamed
                elif (name, found[name]) in self._left:
                    continue
                elif backlog < _OPEN_AT_ONCE:
                    backlog += self._open(directory, name)
                else:
                    self._unopened = True
            if self._segments.keys() - names.values():
                self._segments = dict(sorted(self._segments.items(), key=lambda item: item[1].name))

    def _open(self, directory: int, name: str) -> bool:
        fd = self._directory.open_segment(directory, name, self._now)
        if fd is None:
            return False
        inode = os.fstat(fd).st_ino
        if inode in self._segments:
            os.close(fd)
            return False
        _, writer, number = name.removesuffix(".jsonl").split("-")
        if number == "1":
            self.numbers.begin(writer)
        self._segments[inode] = OpenSegment(name, writer, fd, self._now)
        return True

    def _read_segment(self, segment: OpenSegment, limit: int, events: list[Event]) -> None:
        self._read_lines(segment, limit, events)
        if self._full(events, limit) or not segment.may_finish(self._now, self.numbers.reached(segment.writer)):
            return
        # The writer is done: read the rest to the end.
        self._read_lines(segment, limit, events)
        if not self._full(events, limit):
            if rest := segment.fragment():
                self.quarantine.add(segment, rest, "torn line")
            segment.finished = self._now

    def _read_lines(self, segment: OpenSegment, limit: int, events: list[Event]) -> None:
        for line, fault in segment.lines():
            self._bytes += len(line)
            if fault == "":
                self._take(segment, line, events)
            elif fault:
                self.quarantine.add(segment, line, fault)
            if self._full(events, limit):
                return

    def _take(self, segment: OpenSegment, line: bytes, events: list[Event]) -> None:
        try:
            event = decode(line)
        except Undecodable as error:
            self._not_an_event(segment, line, error)
            return
        if _WRITER.fullmatch(event.writer):
            segment.writer, segment.seq = event.writer, event.seq
            self.numbers.sign(event.writer, event.seq)
        segment.seen = event.seen
        held = event.server in self.numbers.held_back and bears_label(event)
        self.numbers.take(segment.writer, event, held=held)
        if held:
            self._passed += 1
            segment.passed = True
            self._held_lines.hold(event.seen)
        elif isinstance(event, Unknown):
            self._skip_kind(event.kind)
        else:
            force_setattr(event, "writer", segment.writer)
            if isinstance(event, HeldLine):
                self._held += len(event.bans)
            events.append(event)

    def _skip_kind(self, kind: str) -> None:
        """A later action wrote the line. Logged once per kind."""
        self._skipped += 1
        if kind not in self._unknown_kinds and len(self._unknown_kinds) < _KINDS_SAID:
            self._unknown_kinds.add(kind)
            _log.warning("skipping lines of unknown kind %r: upgrade banledger", kind)

    def _not_an_event(self, segment: OpenSegment, line: bytes, error: Undecodable) -> None:
        if not error.newer:
            self.quarantine.add(segment, line, str(error))
            return
        self.numbers.skip(segment.writer)
        self._held_lines.hold(segment.seen or began(segment.name))
        if not segment.kept:
            segment.kept = True
            _log.error(_NEWER, segment.name, error, VERSION)

    # What was read is recorded.

    def commit(self) -> int:
        """Lines read are recorded: set aside invalid lines, remove finished segments. Return how many were removed."""
        self._worked = bool(self.quarantine or self._skipped or self._passed or self._bytes >= _BYTES_AT_ONCE)
        self.quarantine.keep(self._directory)
        self.skipped += self._skipped
        self._skipped = self._passed = 0
        self._held_lines.commit()
        self.numbers.commit(complete=self.caught_up)
        finished = []
        for inode, segment in self._segments.items():
            segment.commit(self._now, self.keep_s)
            if segment.finished is not None and self._now - segment.finished >= self.keep_s:
                finished.append(inode)
        return self._dismiss(finished) if finished else 0

    def _dismiss(self, finished: list[int]) -> int:
        """Close finished segments and remove those in which nothing must wait. Return how many are gone."""
        gone = 0
        try:
            with self._directory.opened() as directory:
                for inode in finished:
                    segment = self._segments.pop(inode)
                    waits = segment.kept or segment.passed
                    if not waits and self._directory.remove(directory, segment.name, inode):
                        gone += 1
                    else:
                        self._left.add((segment.name, inode))
                    segment.close()
        except FileNotFoundError:  # the directory was removed with its content
            for inode in finished:
                self._segments.pop(inode).close()
            return len(finished)
        except OSError:  # the next `read` reports it
            pass
        return gone
