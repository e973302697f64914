"""Track the sources of a ledger: their state, their writers, and the snapshots that count.

Theory of operation. `follow` keeps a hash for each source (see `source`) with its state and writer, and puts each line
in its place on the source's timeline.

A snapshot (see `snapshots`) counts only if its writer is the source's last and only one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from banledger.ledger.keys import Keyspace
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
from banledger.spool.events import (
    BanLine,
    Event,
    ForgetLine,
    GapLine,
    HeldLine,
    ImportLine,
    NetworkLine,
    StartLine,
    StopLine,
)
from banledger.stores.api import Engine, Repair

_RIVAL_S = 60.0  # a writer with lines this long after the next one's start has not stopped
_RELABEL_S = 600.0  # a jail that starts this soon after one of that name stopped may be the same
_SOURCELESS = (GapLine, NetworkLine, ImportLine, ForgetLine)


class Sources:
    """Tracks and stores the sources of a ledger. Used by the recorder."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._known: dict[Name, Source] = {}
        self._saved: dict[Name, Source] = {}
        self._stopped: dict[str, StopLine] = {}  # by jail, the last stop
        self._latest: dict[Name, float] = {}  # the last event
        self._started: dict[str, StartLine] = {}  # by server, the starts that `_outlive` has not handled
        self.notices: list[str] = []

    def follow(self, lines: Sequence[Event]) -> list[Event]:
        """Return the lines, each in its place on its source's timeline. Notes starts and stops."""
        self._learn({(line.server, line.jail) for line in lines if not isinstance(line, _SOURCELESS)})
        placed = [line if isinstance(line, _SOURCELESS) else self._take(line) for line in lines]
        self._outlive()
        return placed

    def save(self) -> None:
        """Store the changed sources; the last event only at intervals."""
        for name in self._latest:
            self._raise_latest(name)
        self._latest.clear()
        changed = {name: source for name, source in self._known.items() if _differs(source, self._saved[name])}
        if changed:
            self._engine.put({self._key(name): to_hash(source) for name, source in changed.items()})
            self._saved |= changed

    def _learn(self, names: set[Name]) -> None:
        if not (new := sorted(names - self._known.keys())):
            return
        self._engine.mend(Repair(joins=[(self._keys.sources, source_token(*name)) for name in new]))
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
        """Stop sources that a crash of a machine or of fail2ban left running: their jail may never start again."""
        if not self._started:
            return
        lines = list(self._started.values())
        keys = [self._keys.source(token) for token in self._engine.members(self._keys.sources)]
        hashes = zip(keys, self._engine.hashes(keys), strict=True)
        named = [((f.get("server", ""), f.get("jail", "")), key, f) for key, f in hashes]
        found = [from_hash(fields, name) for name, key, fields in named if self._key(name) == key]
        self._learn({(s.server, s.jail) for s in found if any(outlived(s, line) is not s for line in lines)})
        for line in lines:
            self._known |= {name: self._outlived(source, line) for name, source in self._known.items()}
        self._started.clear()

    def _outlived(self, source: Source, line: StartLine) -> Source:
        after = outlived(source, line)
        if after is not source and source.server != line.server:
            self._notice_change(f"fail2ban of jail {source.jail!r} was killed and", source.server, line.server)
        return after

    def _raise_latest(self, name: Name) -> Source:
        source = self._known[name]
        latest = self._latest.get(name, 0.0)
        if latest > source.latest:
            source = self._known[name] = replace(source, latest=latest)
        return source

    def _heard(self, source: Source, line: Event) -> Source:
        """Handle a line of a writer that is not the source's last."""
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
            f"two fail2ban servers write as server {line.server!r}, jail {line.jail!r}: its bans in force can't be"
            " compared with fail2ban's own list; give each its own label (server=… in jail.d)"
        )
        return replace(source, rival=line.writer)

    def _notice_label(self, source: Source, line: StartLine) -> None:
        stop = self._stopped.pop(line.jail, None)
        if stop and stop.server != line.server and not source.state and abs(line.seen - stop.seen) < _RELABEL_S:
            self._notice_change(f"jail {line.jail!r}", stop.server, line.server)

    def _notice_change(self, what: str, old: str, new: str) -> None:
        self.notices.append(
            f"{what} changed its server label from {old!r} to {new!r}: bans recorded as {old!r} keep that label and"
            " count as no longer in force"
        )

    def since(self, name: Name) -> float:
        """Return since when the source's writer is the only one, on the source's timeline."""
        return self._known[name].begun

    def snapshots(self, lines: Iterable[HeldLine]) -> list[list[HeldLine]]:
        """Return the snapshots that count, oldest first: for each, its available parts."""
        found: dict[tuple[float, Name, int], list[HeldLine]] = defaultdict(list)
        for line in lines:
            name = line.server, line.jail
            source = self._known[name]
            if source.rival or (source.writer and line.writer != source.writer):
                continue
            if line.as_of <= line.order and line.part < line.parts:
                found[line.as_of, name, line.parts].append(line)
        return [found[moment] for moment in sorted(found)]


def _differs(source: Source, saved: Source) -> bool:
    """Whether the source must be stored."""
    later = source.latest - saved.latest >= LAG_S
    return later or replace(source, latest=0.0) != replace(saved, latest=0.0)


def _shifted(line: Event, shift: float) -> Event:
    moved = replace(line, at=line.order + shift)
    return replace(moved, as_of=moved.as_of + shift) if isinstance(moved, HeldLine) else moved
