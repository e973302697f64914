"""The ledger: bans in, over any engine. The questions that it answers are in `reader`."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property, lru_cache, reduce
from math import inf
from typing import TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import astuple, replace

from banledger import __version__
from banledger.errors import StoreError, StoreUnavailable
from banledger.geo.place import Locate
from banledger.ledger.aside import Aside, waiting
from banledger.ledger.ban import PENDING, Ban, Subject
from banledger.ledger.ids import ban_id
from banledger.ledger.keys import LAYOUT, Keyspace
from banledger.ledger.labels import NAMELESS, OWNER, LabelTable
from banledger.ledger.merge import address_of, begin, merge, place_at, subject_of
from banledger.ledger.network_line import of_line
from banledger.ledger.networks import Networks
from banledger.ledger.positions import StoredPositions
from banledger.ledger.reader import LedgerReader, read_ban, remains, zone_of
from banledger.ledger.rebuild_lease import Signs
from banledger.ledger.snapshots import SnapshotJudge
from banledger.ledger.sources import Sources
from banledger.ledger.swap import claim
from banledger.ledger.tokens import text_of
from banledger.settings import machine_id, machine_zone
from banledger.spool.events import BanLine, Event, GapLine, HeldLine, NetworkLine, TicketLine
from banledger.spool.position import Position, Writer
from banledger.stores import connect
from banledger.stores.api import Advance, Applied, Conflict, Engine, Hash, Outcome, Reader, Repair
from banledger.stores.change import Change
from banledger.stores.connect import Access
from banledger.stores.fields import Damaged

_ROUNDS = 20
_AT_ONCE = 500

_log = logging.getLogger("banledger")

_Store = TypeVar("_Store", bound=Reader)
_Made = TypeVar("_Made")


class Recorded(Struct, frozen=True):
    """What a batch did: lines read, bans that are new, that changed, that stayed as they were, gaps, networks.

    `aside`: lines that wait because the hash of their ban is damaged (see `store.aside`).
    """

    lines: int = 0
    new: int = 0
    amended: int = 0
    known: int = 0
    gaps: int = 0
    networks: int = 0
    aside: int = 0

    def __add__(self, other: "Recorded") -> "Recorded":
        return Recorded(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def open_to_read(store: str, prefix: str, access: Access = Access()) -> "LedgerReader":  # noqa: B008  # frozen
    """The ledger at `store` (a path or URL), to read. Raises StoreError and its children."""
    keys = Keyspace(prefix)
    return _over(connect.reader(store, access), lambda engine: LedgerReader(engine, keys))


def open_to_write(
    store: str,
    prefix: str,
    timezone: str = "",
    access: Access = Access(),  # noqa: B008  # frozen
    machine: str = "",
) -> "Ledger":
    """The ledger at `store`, to write; made with `timezone` if there is none yet. See `Ledger`."""
    keys = Keyspace(prefix)
    return _over(connect.writer(store, keys, access), lambda engine: Ledger(engine, keys, timezone, machine))


def _over(engine: _Store, make: Callable[[_Store], _Made]) -> _Made:
    """What is made over the engine; the engine is closed if that fails."""
    try:
        return make(engine)
    except BaseException:
        engine.close()
        raise


class Ledger(LedgerReader):
    """A ledger to write. Its caller is the one writer of its engine; `record` may be repeated after any failure.

    `shared`: other machines may write to it too.
    `timezone`: IANA name of the zone of a new ledger; empty: this machine's. Raises SettingsError if that is unknown.
    `damaged`: its `meta` was gone, though not all of it; a new one was made.
    `machine`: what tells this machine from others that share the store; empty: its machine-id.

    `record` takes whatever label a line bears: see `labels`.
    `reassert`: whether bans that need no change are put again wherever they must stand, because the store may have lost
    that; `touched` collects their months and local days.
    """

    def __init__(self, engine: Engine, keyspace: Keyspace, timezone: str, machine: str = "") -> None:
        self._engine = engine
        self._months: set[str] = set()
        self.keys = keyspace
        if there := engine.hashes([keyspace.meta])[0]:
            self._check(there)  # before anything is written
        self.damaged = not there and remains(engine, keyspace)
        if not there:
            timezone = _new_zone(timezone)
        made = {"layout": str(LAYOUT), "timezone": timezone, "made_by": f"banledger {__version__}"}
        meta = claim(engine, keyspace.meta, made | {"ledger": os.urandom(8).hex()})
        super().__init__(engine, keyspace)
        if self.unknown_zone:  # a ban's day is for ever: rather wait than record it under a wrong one
            raise StoreError(
                f"the ledger's time zone {self.unknown_zone} is unknown on this machine",
                hint="install the Python package tzdata anew, or the system's (Debian: tzdata-legacy)",
            )
        self.identity = meta["ledger"]
        self.shared = engine.shared
        self.replay_s = engine.replay_s
        self._calendar = calendar(self.zone)
        self._machine = machine or machine_id() or NAMELESS
        self._sources = Sources(engine, keyspace)
        self._snapshots = SnapshotJudge(engine, keyspace)
        self._aside = Aside(engine, keyspace)
        self._mine = {text_of(name.removeprefix(OWNER)) for name in meta if self._owns(meta, name)}
        self._positions = StoredPositions(engine, keyspace)
        self._carried: list[Advance] = []
        self.reassert = False
        self.touched: set[tuple[str, str]] = set()
        engine.settle()

    @cached_property
    def networks(self) -> Networks:
        """What registries said, to read and to write."""
        return Networks(self._engine, self.keys)

    def _owns(self, meta: Hash, name: str) -> bool:
        return bool(self._machine) and name.startswith(OWNER) and meta[name] == self._machine

    def positions(self, servers: Iterable[str] = ()) -> dict[Writer, Position | None]:
        """What the store has recorded of the writers of these servers, and of all that are known as this machine's.

        None: that position is damaged.
        """
        mine = self._mine
        if not self.shared:
            mine = {text_of(source.partition("|")[0]) for source in self._engine.members(self.keys.sources)}
        return self._positions.read(mine.union(servers))

    def incarnation(self) -> str:
        """Which run of the server this is; empty: not known, or there is no server."""
        return self._engine.server().run

    @cached_property
    def signs(self) -> Signs:
        """Of a rebuild, and of recorders that are alive."""
        return Signs(self._engine, self.keys)

    def notices(self) -> list[str]:
        """Warnings for the log about the lines recorded since the last call."""
        notices = self._sources.notices + self._aside.notices
        self._sources.notices, self._aside.notices = [], []
        return notices

    def cautions(self) -> Sequence[str]:
        """Warnings for the log about the store's own settings. Logged once, at the start."""
        return self._engine.server().cautions

    @cached_property
    def labels(self) -> LabelTable | None:
        """Which recorder may record which label; None: the store has one recorder only."""
        return LabelTable(self._engine, self.keys, self.identity, self._machine) if self.shared else None

    def lost(self) -> bool:
        """Whether the ledger is gone from the store."""
        return self._engine.hashes([self.keys.meta])[0].get("ledger") != self.identity

    def record(
        self,
        lines: Iterable[Event],
        locate: Locate,
        now: float = 0.0,
        positions: Sequence[Position] = (),
        forgotten: Sequence[Position] = (),
    ) -> Recorded:
        """Record what the lines say, exactly once however often they come (UTC epoch `now`; 0: the clock's).

        `locate` tells where an address is. `positions`: how far lines are recorded then; `forgotten`: those that are
        followed no longer.
        """
        now = now or time.time()
        tickets: list[TicketLine] = []
        gaps: list[GapLine] = []
        networks: list[NetworkLine] = []
        held: list[HeldLine] = []
        taken = list(lines)
        for line in self._sources.follow(taken):
            if isinstance(line, TicketLine):
                tickets.append(line)
            elif isinstance(line, GapLine):
                gaps.append(line)
            elif isinstance(line, NetworkLine):
                networks.append(line)
            elif isinstance(line, HeldLine):
                held.append(line)
        learned = self._record_networks(networks, now)
        gaps_recorded = self._record_gaps(gaps)
        advances = self._positions.advances(positions, forgotten)
        self._carried = [] if held else advances
        done = self._record_bans(tickets, locate)
        done += Recorded(lines=len(taken), gaps=gaps_recorded, networks=learned)
        for snapshot in self._sources.snapshots(held):
            begun = self._sources.since((snapshot[0].server, snapshot[0].jail))
            done += self._record_bans(self._snapshots.judge(snapshot, begun), locate)
        self._sources.save()
        if advances and (held or self._carried):
            self._engine.apply([], advances)
        self._carried = []
        self._positions.written(positions)
        return done

    def _record_bans(self, lines: list[TicketLine], locate: Locate) -> Recorded:
        """Merge, apply, and where the ledger had something else than thought, again from what it has."""
        about: dict[Subject, list[TicketLine]] = {}
        for line in lines:
            about.setdefault(subject_of(line), []).append(line)
        new = amended = known = aside = 0
        salts = dict.fromkeys(about, 0)
        have: dict[Subject, Ban | Damaged | None] = {
            subject: None for subject, lines in about.items() if _is_news(lines)
        }
        for _ in range(_ROUNDS):
            ids = self._look_up(salts, have)
            for subject, id_ in list(ids.items()):
                if isinstance(error := have[subject], Damaged):
                    aside += self._aside.put(self.keys.ban(id_), error, about[subject])
                    del salts[subject], ids[subject]
            changes: dict[Subject, Change] = {}
            outcomes = self._apply(self._merged(ids, have, about, locate, changes), {id_[:4] for id_ in ids.values()})
            for subject in ids.keys() - changes.keys():
                known += 1
                del salts[subject]
            for (subject, change), outcome in zip(changes.items(), outcomes, strict=True):
                if isinstance(outcome, Conflict):
                    have[subject] = read_ban(ids[subject], outcome.current)
                else:
                    del salts[subject]
                    new += change.guard is None
                    amended += bool(change.guard and (change.fields or change.drop))
                    known += bool(change.guard and not (change.fields or change.drop))
            if not salts:
                return Recorded(new=new, amended=amended, known=known, aside=aside)
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    def _merged(
        self,
        ids: dict[Subject, str],
        have: Mapping[Subject, Ban | Damaged | None],
        about: dict[Subject, list[TicketLine]],
        locate: Locate,
        changes: dict[Subject, Change],
    ) -> Iterator[Change]:
        """The changes that the lines make, one by one, so that an engine may begin with them; also in `changes`."""
        for subject, id_ in ids.items():
            old, lines = have[subject], about[subject]
            ban = reduce(merge, lines, old) if isinstance(old, Ban) else self._begin(subject, id_, lines, locate)
            if ban is not old:
                change = changes[subject] = self.keys.change(old if isinstance(old, Ban) else None, ban)
                yield change
            elif self.reassert:
                change = changes[subject] = self.keys.assertion(ban)
                yield change
            if self.reassert:
                self.touched.add((ban.id[:4], ban.day))

    def _look_up(self, salts: dict[Subject, int], have: dict[Subject, Ban | Damaged | None]) -> dict[Subject, str]:
        """The id of each subject, the first that is no other ban's; completes `have` with what the ledger has."""
        ids: dict[Subject, str] = {}
        owners: dict[str, Subject] = {}
        left = list(salts)
        while left:
            ids |= {subject: _id(subject, salts[subject]) for subject in left}
            unknown = [subject for subject in left if subject not in have]
            have |= zip(unknown, self.bans_or_damage([ids[subject] for subject in unknown]), strict=True)
            owners |= {ids[subject]: subject for subject in left if _subject(have[subject]) == subject}
            left = [subject for subject in salts if owners.setdefault(ids[subject], _owner(subject, have)) != subject]
            for subject in left:  # another ban has this id
                salts[subject] += 1
                del have[subject]
        return ids

    def _begin(self, subject: Subject, id_: str, lines: list[TicketLine], locate: Locate) -> Ban:
        """The record that the lines make."""
        ip = min([address for line in lines if (address := address_of(line))], default=None)
        ban = begin(id_, subject, self._calendar(subject.time), ip, locate(ip, subject.time), lines[0])
        return reduce(merge, lines[1:], ban)

    def amend(self, ids: Iterable[str], locate: Locate) -> int:
        """Give recorded bans the place that `locate` knows now; how many of them changed."""
        done, left = 0, list(ids)
        for _ in range(_ROUNDS):
            changes: dict[str, Change] = {}
            for id_, ban in zip(left, self.bans(left), strict=True):
                if ban is not None and ban.origin != PENDING:
                    new = place_at(ban, locate(ban.ip, ban.time))
                    if new is not ban:
                        changes[id_] = self.keys.change(ban, new)
            outcomes = self._apply(list(changes.values()))
            left = [id_ for id_, outcome in zip(changes, outcomes, strict=True) if isinstance(outcome, Conflict)]
            done += len(changes) - len(left)
            if not left:
                return done
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    def dismiss(self, before: float, most: int, locate: Locate) -> bool:
        """Bans older than `before` (UTC epoch), and the oldest beyond `most`, wait for whois no longer.

        What `locate` knows of them stays. A page of them at a time; whether there are more.
        """
        excess = self.waiting() - most
        for month in sorted(self._reader.members(self.keys.months)):
            if ids := self._overdue(self.keys.waiting(month), before, excess):
                bans = [ban for ban in self.bans(ids) if ban is not None and ban.waits]
                self._apply([self.keys.change(ban, _given_up(ban, locate)) for ban in bans])
                if bans:
                    return True
        return False

    def _overdue(self, key: str, before: float, excess: int) -> list[str]:
        old = self._engine.lowest(key, before, _AT_ONCE)
        return old if old or excess <= 0 else self._engine.lowest(key, inf, min(excess, _AT_ONCE))

    def _record_networks(self, lines: list[NetworkLine], now: float) -> int:
        learned = []
        for line in lines:
            with suppress(ValueError):
                learned.append(of_line(line))
        return self.networks.put_older(learned, now) if learned else 0

    def _record_gaps(self, gaps: list[GapLine]) -> int:
        changes = {change.key: change for change in map(self.keys.gap_change, gaps)}
        outcomes = self._apply(list(changes.values()))
        if self.reassert:
            there = [
                (key, outcome.current)
                for key, outcome in zip(changes, outcomes, strict=True)
                if isinstance(outcome, Conflict)
            ]
            self._apply([self.keys.gap_assertion(key, fields) for key, fields in there])
        return sum(isinstance(outcome, Applied) for outcome in outcomes)

    def _apply(self, changes: Iterable[Change], months: set[str] | None = None) -> list[Outcome]:
        """`months`: the slots that the changes may have; None: they are looked up in the changes."""
        if months is None:
            changes = list(changes)
            months = {_month(change) for change in changes}
        if new := months - self._months:
            self._engine.mend(Repair(joins=[(self.keys.months, month) for month in sorted(new)]))
            self._months |= new
        outcomes = self._engine.apply(changes, self._carried)
        if all(isinstance(outcome, Applied) for outcome in outcomes):
            self._carried = []
        return outcomes

    def record_aside(self, locate: Locate) -> int:
        """Record the lines set aside whose ban can be read again; how many lines."""
        done = 0
        for lines in waiting(self._engine, self.keys):
            about = {text: self.keys.ban(_id(subject_of(line), 0)) for text, line in lines.items()}
            hashes = dict(zip(about.values(), self._engine.hashes(list(about.values())), strict=True))
            sound = [text for text, key in about.items() if not isinstance(read_ban(key, hashes[key]), Damaged)]
            if sound and not self._record_bans([lines[text] for text in sound], locate).aside:
                self._aside.drop(sound)  # else one has a damaged hash under a salted id
                done += len(sound)
        return done

    def tidy(self, now: float) -> int:
        """Forget amendments whose ban never came; how many. `now` (UTC epoch) must come from a settled clock."""
        gone = 0
        for month in list(self._reader.members(self.keys.months)):
            while ids := self._engine.lowest(self.keys.pending(month), now, _AT_ONCE):
                waiting = [ban for ban in self.bans(ids) if ban is not None and ban.origin == PENDING]
                if not waiting:
                    break
                gone += len(self._apply([self.keys.removal(ban) for ban in waiting]))
        return gone


def _new_zone(name: str) -> str:
    """The time zone of a ledger that is made now. Raises SettingsError."""
    name = name or machine_zone()
    if not name:
        _log.warning(
            "this machine's time zone has no name: the ledger's days are UTC's (setting timezone names another)"
        )
        name = "UTC"
    return zone_of(name).key


def _is_news(lines: list[TicketLine]) -> bool:
    """Whether these are about a ban that the ledger can't have yet, unless they are read again."""
    return any(isinstance(line, BanLine) and not line.restored for line in lines)


def _owner(subject: Subject, have: Mapping[Subject, Ban | Damaged | None]) -> Subject:
    """The ban that has the subject's id: the one that the ledger has there, else the first that asks."""
    return _subject(have[subject]) or subject


def _subject(there: Ban | Damaged | None) -> Subject | None:
    return there.subject if isinstance(there, Ban) else None


def _id(subject: Subject, salt: int) -> str:
    return ban_id(subject.server, subject.jail, subject.fid, subject.time, salt)


def _month(change: Change) -> str:
    return change.key.rpartition(":")[2][:4]


def _given_up(ban: Ban, locate: Locate) -> Ban:
    """The ban as it is if nobody asks about it."""
    given_up = place_at(ban, locate(ban.ip, 0.0))
    return replace(given_up, whois=None) if given_up.waits else given_up


def calendar(zone: ZoneInfo) -> Callable[[int], tuple[str, int]]:
    """The local day (YYYY-MM-DD) and hour of a UTC epoch second. Zones move by quarters of an hour."""

    @lru_cache(maxsize=4096)
    def quarter(number: int) -> tuple[str, int]:
        local = datetime.fromtimestamp(900 * number, zone)
        return local.isoformat()[:10], local.hour

    return lambda second: quarter(second // 900)
