"""The line numbers of writers: seen, missing, and how far a position may advance. Pure.

Theory of operation. A writer numbers its lines 1, 2, 3 … over all its segments. They may come out of order, twice, late
or never. A number above the expected one leaves a *hole*. A hole is new in the read that finds it and suspected from
the next read on. It becomes a gap after a read that listed the directory, read everything in it and did not find the
lines. A late line removes its own number from a hole, and no other.

A position says that the ledger has all lines of a writer up to a number, so it stays below holes. It also stays below
trailing lines that are held back, since these stay in the spool. (If a writer changed its label, lines of the new label
may be recorded beyond those that wait. The position follows them; otherwise they would count as missing after a
restart.)

Everything since the last `commit` can be undone.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from banledger.spool.events import VERSION, GapLine, Line
from banledger.spool.position import Loss, Position

_MOST_WRITERS = 10_000
_MOST_UNRECORDED = 1000
_WENT_BACK = "the store went back, and the spool no longer holds these lines; bans: at most this number"
_VANISHED = "lines vanished from the spool; bans: at most this number"


class _Writer(Struct, frozen=True, gc=False):
    """State of one writer. `server`, `jail`, `first`: of its position."""

    expected: int
    since: float = 0.0  # when the line before was written
    server: str = ""
    jail: str = ""
    first: int = -1
    waiting: int = 0  # the first of the trailing lines that are held back; 0: none
    unsure: bool = False  # the last line had no readable number


class _Hole(NamedTuple):
    """Missing lines of a writer. `since`, `seen`: when the lines before and after it were written."""

    writer: str
    first: int
    last: int
    server: str
    jail: str
    since: float
    seen: float
    reason: str
    suspected: bool = False

    def without(self, line: Line) -> "list[_Hole]":
        """The holes that remain when that line has come."""
        before = self._replace(last=line.seq - 1, seen=line.seen)
        behind = self._replace(first=line.seq + 1, since=line.seen)
        return [hole for hole in (before, behind) if hole.first <= hole.last]

    def gap(self) -> GapLine:
        """The event that reports it."""
        return GapLine(
            v=VERSION,
            seen=self.seen,
            seq=self.last,
            server=self.server,
            jail=self.jail,
            since=self.since or self.seen,
            bans=self.last - self.first + 1,
            reason=f"{self.reason} (writer {self.writer})",
        )


class Sequences:
    """The numbers of all writers of a spool. Used by one thread.

    alone      whether no other recorder removes segments; otherwise missing numbers are not gaps
    held_back  server labels whose lines and gaps wait
    """

    def __init__(self) -> None:
        self.alone = True
        self.held_back: frozenset[str] = frozenset()
        self._reached: dict[str, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all writers."""
        self._writers: dict[str, _Writer] = {}  # the latest last
        self._before: dict[str, _Writer | None] = {}  # as they were at the last commit, those that changed
        self._awaited: list[Loss] = []  # lines that must come before `end`
        self._lost: set[str] = set()  # writers of lines that the store lost
        self._holes: tuple[_Hole, ...] = ()
        self._committed: tuple[_Hole, ...] = ()

    def begin(self, writer: str) -> None:
        """Expect line 1 of an unknown writer: its first segment is there."""
        self._writers.setdefault(writer, _Writer(1))

    def expect(self, positions: Iterable[Position]) -> None:
        """Expect the line after each of these positions, for writers that are unknown."""
        for known in positions:
            self._writers.setdefault(known.writer, _following(known, known.last + 1, known.seen))

    def catch_up(self, positions: Iterable[Position]) -> None:
        """Take over the positions of other recorders of this spool: lines up to them are not missing."""
        for known in positions:
            state = self._writers.get(known.writer)
            if state is None or state.expected <= known.last:
                self._writers[known.writer] = _following(known, known.last + 1, known.seen)
            covered = [hole for hole in self._holes if hole.writer == known.writer and hole.first <= known.last]
            behind = [hole._replace(first=known.last + 1) for hole in covered if hole.last > known.last]
            self._holes = (*(hole for hole in self._holes if hole not in covered), *behind)
        self._committed = self._holes

    def recall(self, unrecorded: Iterable[Position]) -> None:
        """These lines were read before a restart and not recorded. Lines that don't come before `end` are missing."""
        for known in unrecorded:
            self._writers.setdefault(known.writer, _following(known, known.first, 0.0))
            self._awaited.append(Loss(known, known.first))

    def lose(self, losses: Iterable[Loss]) -> None:
        """The store lost these lines, and the spool is read again. Lines that don't come before `end` are missing."""
        for loss in sorted(losses, key=lambda one: one.first, reverse=True):
            self._writers[loss.known.writer] = _following(loss.known, loss.first, loss.since)
            self._lost.add(loss.known.writer)
            self._awaited.append(loss)
        self._committed = self._holes = tuple(hole for hole in self._holes if hole.writer not in self._lost)

    def hold_back(self, labels: frozenset[str]) -> None:
        """From now on lines of exactly these labels wait. If a label is released, the whole spool is read again."""
        released, self.held_back = self.held_back - labels, labels
        waiting = {name: state.waiting for name, state in self._writers.items() if released and state.waiting}
        for writer, first in waiting.items():
            state = self._writers[writer]
            known = Position(state.server, writer, state.jail, max(state.first, 0), state.expected - 1, state.since)
            self._awaited.append(Loss(known, first))
            self._writers[writer] = replace(state, expected=first, since=0.0, waiting=0)
        again = tuple(hole for hole in self._holes if hole.first < waiting.get(hole.writer, hole.last + 1))
        self._committed = self._holes = again

    def sign(self, writer: str, seq: int) -> None:
        """Note that a line with this number names its writer."""
        if len(self._reached) > _MOST_WRITERS:
            self._reached.clear()
        self._reached[writer] = max(seq, self.reached(writer))

    def reached(self, writer: str) -> int:
        """The highest number of a writer, from lines that name it."""
        return self._reached.get(writer, 0)

    def look(self, *, complete: bool) -> list[GapLine]:
        """Begin a read; the last one was `complete` if it read everything. Return the gaps that are certain now."""
        checked = {hole for hole in self._holes if hole.suspected and complete}
        certain = [hole for hole in self._holes if hole in checked and hole.server not in self.held_back]
        self._holes = tuple(hole._replace(suspected=hole not in checked) for hole in self._holes if hole not in certain)
        for hole in certain:
            self._before.setdefault(hole.writer, self._writers.get(hole.writer))
        return [hole.gap() for hole in certain]

    def take(self, writer: str, line: Line, *, held: bool = False) -> None:
        """Note a line. `held`: it stays in the spool."""
        late = bool(self._holes) and self._fill(writer, line)
        state = self._writers.pop(writer, None)
        self._before.setdefault(writer, state)
        seq = line.seq
        if state is None:
            state = _Writer(seq)
        expected, waiting = state.expected, state.waiting
        if seq > expected and self.alone and not state.unsure:
            self._miss(writer, expected, seq - 1, line, state.since)
        if held:
            waiting = min(waiting or seq, seq) if late or seq >= expected else waiting
        elif seq > waiting:
            waiting = 0
        ahead = seq >= expected
        self._writers[writer] = _Writer(
            seq + 1 if ahead else expected,
            line.seen if ahead else state.since,
            state.server or line.server,
            state.jail or line.jail,
            min(expected, seq) if state.first < 0 else state.first,
            waiting,
            state.unsure and not ahead,
        )
        if len(self._writers) > _MOST_WRITERS:
            del self._writers[next(iter(self._writers))]

    def skip(self, writer: str) -> None:
        """Note a line without readable number: the next one may have any number."""
        if state := self._writers.get(writer):
            self._before.setdefault(writer, state)
            self._writers[writer] = replace(state, unsure=True)

    def end(self) -> None:
        """The whole spool was read: lines that the store lost, or that waited, and that did not come are missing."""
        for loss in sorted(self._awaited, key=lambda one: one.first):
            known, writer = loss.known, loss.known.writer
            state = self._writers.get(writer) or _following(known, loss.first, loss.since)
            first = max(state.expected, loss.first)
            if first <= known.last and (self.alone or writer in self._lost):
                self._before.setdefault(writer, state)
                self._writers[writer] = replace(state, expected=known.last + 1, since=known.seen)
                self._miss(writer, first, known.last, known, state.since)

    def _fill(self, writer: str, line: Line) -> bool:
        """Remove a late line from the holes; return whether it was in one."""
        for hole in self._holes:
            if hole.writer == writer and hole.first <= line.seq <= hole.last:
                self._holes = (*(other for other in self._holes if other is not hole), *hole.without(line))
                return True
        return False

    def _miss(self, writer: str, first: int, last: int, about: Line | Position, since: float) -> None:
        reason = _WENT_BACK if writer in self._lost else _VANISHED
        self._holes += (_Hole(writer, first, last, about.server, about.jail, since, about.seen, reason),)

    @property
    def doubtful(self) -> bool:
        """Whether a hole may become a gap, or lines that the store lost are being read again."""
        return bool(self._awaited) or any(hole.server not in self.held_back for hole in self._holes)

    def positions(self) -> list[Position]:
        """Each writer's position, if the lines read since the last commit are recorded."""
        found = (self._position(writer) for writer in sorted(self._before))
        return [position for position in found if position is not None]

    def _position(self, writer: str) -> Position | None:
        state = self._writers.get(writer)
        if state is None or state.first < 0:
            return None
        last = self._last_recorded(writer, state)
        known = last >= state.first
        return Position(state.server, writer, state.jail, state.first, last, state.since) if known else None

    def _last_recorded(self, writer: str, state: _Writer) -> int:
        holes = [hole.first for hole in self._holes if hole.writer == writer]
        return min([state.expected, state.waiting or state.expected, *holes]) - 1

    def unrecorded(self) -> list[Position]:
        """Lines beyond the writers' positions that were read or are missing, for the latest writers only."""
        writers = {hole.writer for hole in self._holes}
        if self.held_back:
            writers |= {writer for writer, state in self._writers.items() if state.waiting}
        found = []
        for writer in list(filter(writers.__contains__, self._writers))[-_MOST_UNRECORDED:]:
            state = self._writers[writer]
            first = self._last_recorded(writer, state) + 1
            found.append(Position(state.server, writer, state.jail, first, state.expected - 1, state.since))
        return found

    def commit(self, *, complete: bool) -> None:
        """Lines read are recorded. `complete`: they were the whole spool."""
        self._before.clear()
        self._committed = self._holes
        if complete:
            self._awaited, self._lost = [], set()

    def rollback(self) -> None:
        """Lines read will be read again."""
        for writer, state in self._before.items():
            if state is None:
                self._writers.pop(writer, None)
            else:
                self._writers[writer] = state
        self._before.clear()
        self._holes = self._committed


def _following(known: Position, expected: int, since: float) -> _Writer:
    return _Writer(expected, since, known.server, known.jail, known.first)
