"""The sources of a ledger, and what their fail2ban says is in force.

Theory of operation. `follow` keeps a hash for each source (see `source`): is it running, who writes; and puts
each line into its place on the source's timeline.

A *snapshot* is what fail2ban held at one moment. `judge` compares it with what the ledger has in force for that source
and says what is to be amended, as lines that are merged like all others: whatever came after that moment wins. A
snapshot of a writer that is not the source's last, or is not its only one, is no evidence.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from banledger.ledger import scan as contents
from banledger.ledger.ban import PENDING, RESTORED, Ban
from banledger.ledger.ids import ban_id
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import EndedTicket, HeldTicket, bounded
from banledger.ledger.reader import read_ban
from banledger.ledger.source import (
    LAG_S,
    STOPPED,
    Name,
    Source,
    alive,
    followed,
    from_hash,
    outlived,
    resumed,
    started,
    stopped,
    to_hash,
    without_rival,
)
from banledger.ledger.tokens import source_token
from banledger.net.address import canonical_address
from banledger.spool.events import (
    VERSION,
    BanLine,
    Event,
    GapLine,
    HeldLine,
    NetworkLine,
    ProlongLine,
    StartLine,
    StopLine,
    TicketLine,
)
from banledger.stores.api import Engine, Repair
from banledger.stores.change import Mark
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages

_RIVAL_S = 60.0  # a writer that is heard so long after the next one's start has not ended
_RELABEL_S = 600.0  # a jail that starts so soon after one of that name stopped may be the same
_KEPT_S = 86_400.0
_AT_ONCE = 2000


class Sources:
    """The sources of a ledger, to write. Used by the one who records."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._known: dict[Name, Source] = {}
        self._saved: dict[Name, Source] = {}
        self._stopped: dict[str, StopLine] = {}  # by jail, what stopped while we looked on
        self._latest: dict[Name, float] = {}  # the last moment heard of
        self._started: dict[str, StartLine] = {}  # by server, what started since that was looked at
        self.notices: list[str] = []

    def follow(self, lines: Sequence[Event]) -> list[Event]:
        """The lines, each in its place on its source's timeline; takes note of starts and stops."""
        self._learn({(line.server, line.jail) for line in lines if not isinstance(line, GapLine | NetworkLine)})
        placed = [line if isinstance(line, GapLine | NetworkLine) else self._take(line) for line in lines]
        self._outlive()
        return placed

    def save(self) -> None:
        """Put into the store what changed; the last moment heard of only now and then."""
        for name in self._latest:
            self._raise_latest(name)
        self._latest.clear()
        changed = {name: source for name, source in self._known.items() if _differs(source, self._saved[name])}
        if changed:
            self._engine.replace({self._key(name): to_hash(source) for name, source in changed.items()})
            self._saved |= changed

    def _learn(self, names: set[Name]) -> None:
        if not (new := sorted(names - self._known.keys())):
            return
        self._engine.enlist(self._keys.sources, [source_token(*name) for name in new])
        for name, fields in zip(new, self._engine.hashes([self._key(name) for name in new]), strict=True):
            self._known[name] = self._saved[name] = from_hash(fields, name)

    def _key(self, name: Name) -> str:
        return self._keys.source(source_token(*name))

    def _take(self, line: Event) -> Event:
        name = line.server, line.jail
        source = self._known[name]
        if isinstance(line, StartLine):
            source = self._raise_latest(name)
            self._notice_label(source, line)
            self._known[name] = started(source, line)
            if self._known[name].begun > source.begun:
                self._started[line.server] = line
            return line
        shift = source.shift if line.writer == source.writer else source.shifts.get(line.writer, 0.0)
        if shift:
            line = _shifted(line, shift)
        if line.writer != source.writer:
            self._known[name] = self._heard(source, line)
        elif isinstance(line, StopLine):
            self._known[name] = stopped(source, line)
            self._stopped[line.jail] = line
        elif isinstance(line, HeldLine) and source.state == STOPPED:
            self._known[name] = alive(source, line)
        elif source.writer and line.order > self._latest.get(name, 0.0):
            self._latest[name] = line.order
        return line

    def _outlive(self) -> None:
        """Stop what a crash of a server's machine left running: a jail that is gone since never starts again."""
        for server, line in self._started.items():
            tokens = self._engine.members(self._keys.sources)
            keys = [self._keys.source(tok) for tok in tokens if tok.startswith(source_token(server, ""))]
            found = [from_hash(fields, (server, fields.get("jail", ""))) for fields in self._engine.hashes(keys)]
            names = {(server, source.jail) for source in found if source.boot not in ("", line.boot)}
            self._learn(names)
            self._known |= {name: outlived(self._known[name], line) for name in names}
        self._started.clear()

    def _raise_latest(self, name: Name) -> Source:
        source = self._known[name]
        latest = self._latest.get(name, 0.0)
        if latest > source.latest:
            source = self._known[name] = replace(source, latest=latest)
        return source

    def _heard(self, source: Source, line: Event) -> Source:
        """A line of a writer that is not the source's last."""
        if isinstance(line, BanLine) and line.origin:  # an import, not an action
            return source
        if not source.writer or not line.writer or line.order <= source.begun + _RIVAL_S:
            return source
        if isinstance(line, StopLine):
            return without_rival(source, line) if line.writer == source.rival else source
        if source.state == STOPPED and line.order > source.latest and line.writer in source.shifts:
            return resumed(source, line.writer, line.order, line.seen)
        if source.rival:
            return source
        if line.writer not in source.shifts:
            return followed(source, line.writer, line.order, line.seen)
        self.notices.append(
            f"two fail2ban servers write as server {line.server!r}, jail {line.jail!r}: what is in force there can't be"
            " compared with fail2ban's own list; give each a label of its own (server=… in jail.d)"
        )
        return replace(source, rival=line.writer)

    def _notice_label(self, source: Source, line: StartLine) -> None:
        stop = self._stopped.pop(line.jail, None)
        if stop and stop.server != line.server and not source.state and abs(line.seen - stop.seen) < _RELABEL_S:
            self.notices.append(
                f"jail {line.jail!r} changed its server label from {stop.server!r} to {line.server!r}: what was banned"
                f" as {stop.server!r} stays on record under that label and counts as no longer in force"
            )

    # Snapshots.

    def snapshots(self, lines: Iterable[HeldLine]) -> list[list[HeldLine]]:
        """Those that are evidence: the parts of each that are there, oldest first."""
        found: dict[tuple[float, Name, int], list[HeldLine]] = defaultdict(list)
        for line in lines:
            name = line.server, line.jail
            source = self._known[name]
            if source.rival or (source.writer and line.writer != source.writer):
                continue
            if line.as_of <= line.order and line.part < line.parts:
                found[line.as_of, name, line.parts].append(line)
        return [found[moment] for moment in sorted(found)]

    def judge(self, snapshot: list[HeldLine]) -> list[TicketLine]:
        """What the parts of one snapshot change in the ledger."""
        view = _View(snapshot[0], self._known[snapshot[0].server, snapshot[0].jail])
        active_key = self._keys.active_of(source_token(view.line.server, view.line.jail))
        active = dict(contents.entries(self._engine, active_key))
        listed: dict[str, _Held] = {}
        doubtful: dict[str, _Held] = {}
        for ban in _held(snapshot):
            id_ = ban_id(view.line.server, view.line.jail, ban.fid, ban.time)
            listed[id_] = ban
            if active.get(id_) != ban.expires:
                doubtful[id_] = ban
        ended = self._ended_lines(view, _Listed(snapshot, listed), active)
        found = [*ended, *self._held_lines(view, active_key, doubtful)]
        ran_out = [id_ for id_, expires in active.items() if id_ not in listed and expires < view.wall - _KEPT_S]
        if ran_out:
            self._engine.mend(Repair(marks=[Mark(active_key, id_, None) for id_ in ran_out]))
        return found

    def _ended_lines(self, view: "_View", listed: "_Listed", active: dict[str, float]) -> Iterator[TicketLine]:
        """What the ledger has in force and fail2ban does not hold."""
        unlisted = [id_ for id_, expires in active.items() if id_ not in listed.bans and expires > view.wall]
        taken = []
        for ban in self._paged(unlisted):
            if listed.has(ban):  # it has a salted id, because the id that was listed is another ban's
                taken.append(ban_id(ban.server, ban.jail, ban.fid, ban.time))
            elif listed.judges(ban) and not view.is_later(ban):
                yield view.ended(ban)
        again = self._paged([id_ for id_ in taken if active.get(id_, 0.0) > view.wall])
        yield from (view.ended(ban) for ban in again if listed.judges(ban) and not view.is_later(ban))

    def _held_lines(self, view: "_View", active_key: str, doubtful: dict[str, "_Held"]) -> Iterator[TicketLine]:
        """What fail2ban holds and the ledger does not, or not so; entries that the list of active ones lost."""
        for page in pages(doubtful.items(), _AT_ONCE):
            lost = []
            for (id_, held), ban in zip(page, self._bans([id_ for id_, _ in page]), strict=True):
                if isinstance(ban, Damaged):  # every snapshot would say the same of it
                    continue
                if ban is None or ban.origin == PENDING or (ban.fid, ban.time) != (held.fid, held.time):
                    yield view.restored(held)
                    continue
                if not ban.open and view.has_seen_the_end_of(ban):
                    yield view.held(held)
                if ban.expires != held.expires:
                    yield view.prolonged(held)
                elif ban.open:
                    lost.append(Mark(active_key, id_, ban.expires))
            if lost:
                self._engine.mend(Repair(marks=lost))

    def _paged(self, ids: Sequence[str]) -> Iterator[Ban]:
        return (ban for page in pages(ids, _AT_ONCE) for ban in self._bans(page) if isinstance(ban, Ban))

    def _bans(self, ids: Sequence[str]) -> list[Ban | Damaged | None]:
        hashes = self._engine.hashes([self._keys.ban(id_) for id_ in ids])
        return [read_ban(id_, fields) for id_, fields in zip(ids, hashes, strict=True)]


def _differs(source: Source, saved: Source) -> bool:
    """Whether there is something to save."""
    later = source.latest - saved.latest >= LAG_S
    return later or replace(source, latest=0.0) != replace(saved, latest=0.0)


def _shifted(line: Event, shift: float) -> Event:
    moved = replace(line, at=line.order + shift)
    return replace(moved, as_of=moved.as_of + shift) if isinstance(moved, HeldLine) else moved


class _Held(Struct, frozen=True, gc=False):
    """One entry of a snapshot. `fid` canonical, times as in `Ban`."""

    fid: str
    time: int
    bantime: int
    bancount: int

    @property
    def expires(self) -> float:
        return inf if self.bantime < 0 else float(self.time + self.bantime)


def _held(snapshot: list[HeldLine]) -> Iterator[_Held]:
    for line in snapshot:
        for fid, time, bantime, bancount in line.bans:
            yield _Held(canonical_address(fid) or fid, time, bounded(bantime), bancount)


class _Listed:
    """Which bans the parts that are there speak of."""

    def __init__(self, snapshot: list[HeldLine], bans: dict[str, _Held]) -> None:
        self.bans = bans
        self._parts = {line.part for line in snapshot}
        self._of = snapshot[0].parts
        self._subjects = {(ban.fid, ban.time) for ban in _held(snapshot)}

    def has(self, ban: Ban) -> bool:
        """Whether a ban is listed."""
        return (ban.fid, ban.time) in self._subjects

    def judges(self, ban: Ban) -> bool:
        """Whether a ban would be listed if it were in force, and is not."""
        if self.has(ban):
            return False
        if len(self._parts) == self._of:
            return True
        # Of text with a backslash it is not known that fail2ban spells it so too: it may stand for bytes.
        return "\\" not in ban.fid and crc32(ban.fid.encode()) % self._of in self._parts


class _View:
    """The moment of a snapshot, and the lines that it gives rise to."""

    def __init__(self, line: HeldLine, source: Source) -> None:
        self.line = line
        self.wall = line.as_of - (line.order - line.seen)
        self._begun = source.begun
        self._common: dict[str, Any] = {
            "v": VERSION,
            "seen": self.wall,
            "at": line.as_of,
            "seq": line.seq,
            "server": line.server,
            "jail": line.jail,
        }

    def is_later(self, ban: Ban) -> bool:
        """Whether a ban was only begun after the snapshot; a restored one: only seen then."""
        return ban.begun.order > self.line.as_of

    def has_seen_the_end_of(self, ban: Ban) -> bool:
        """Whether the ban had been lifted or had ended by then."""
        ends = ban.moment("unbanned"), ban.moment("ended")
        return all(end is None or end.order <= self.line.as_of for end in ends)

    def ended(self, ban: Ban) -> TicketLine:
        """The ban is not in force any more."""
        old = ban.begun.order < self._begun
        reason = "not restored" if old and ban.origin != RESTORED else "not held"
        return EndedTicket(fid=ban.fid, time=ban.time, reason=reason, **self._common)

    def held(self, held: _Held) -> TicketLine:
        """The ban is in force after all."""
        return HeldTicket(fid=held.fid, time=held.time, **self._common)

    def prolonged(self, held: _Held) -> TicketLine:
        """The ban has that term."""
        return ProlongLine(fid=held.fid, time=held.time, bantime=held.bantime, bancount=held.bancount, **self._common)

    def restored(self, held: _Held) -> TicketLine:
        """The ledger does not know the ban."""
        counted = self._common | {"bancount": held.bancount + 1}  # as fail2ban counts one that it restores
        return BanLine(fid=held.fid, time=held.time, restored=1, bantime=held.bantime, **counted)
