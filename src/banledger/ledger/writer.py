"""Write a ledger: record lines over any engine. `reader` reads."""

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TypeVar

from banledger import __version__
from banledger.errors import StoreError
from banledger.geo.place import Locate
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.calendar import new_zone
from banledger.ledger.forgetter import Forgetter
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.heartbeats import remove, write
from banledger.ledger.keys import LAYOUT, Keyspace
from banledger.ledger.labels import NAMELESS, OWNER, LabelTable
from banledger.ledger.network_line import of_line
from banledger.ledger.networks import Networks
from banledger.ledger.opening import opened
from banledger.ledger.past_writer import PastWriter, is_of_past
from banledger.ledger.positions import StoredPositions
from banledger.ledger.reader import remains
from banledger.ledger.rebuild_lease import Signs
from banledger.ledger.snapshots import SnapshotJudge
from banledger.ledger.sources import Sources
from banledger.ledger.swap import claim
from banledger.ledger.tokens import text_of
from banledger.settings import machine_id
from banledger.spool.events import Event, ForgetLine, GapLine, HeldLine, ImportLine, Line, NetworkLine, TicketLine
from banledger.spool.position import Position, Writer
from banledger.stores import connect
from banledger.stores.api import Applied, Conflict, Engine
from banledger.stores.connect import Access

_Line = TypeVar("_Line", bound=Line)


def open_to_write(
    store: str,
    prefix: str,
    timezone: str = "",
    access: Access = Access(),  # noqa: B008  # frozen
    machine: str = "",
) -> "Ledger":
    """Open the ledger at `store` to write; it is created with `timezone` if there is none. See `Ledger`."""
    keys = Keyspace(prefix)
    return opened(connect.writer(store, keys, access), lambda engine: Ledger(engine, keys, timezone, machine))


class Ledger(PastWriter):
    """Writes a ledger. The caller is the only writer of its engine; `record` may be repeated after any failure.

    shared    whether other machines may write to it too
    timezone  IANA name of the zone of a new ledger; empty: this machine's. Raises SettingsError if it is unknown
    damaged   whether `meta` was gone while other keys were left; a new `meta` was created
    machine   this machine's name among those that share the store; empty: its machine-id

    `record` accepts lines with any label: see `labels`.
    """

    def __init__(self, engine: Engine, keyspace: Keyspace, timezone: str, machine: str = "") -> None:
        self.keys = keyspace
        if there := engine.hashes([keyspace.meta])[0]:
            self._check(there)  # before anything is written
        self._zone_wanted = timezone if there else ""
        self.damaged = not there and remains(engine, keyspace)
        if not there:
            timezone = new_zone(timezone)
        made = {"layout": str(LAYOUT), "timezone": timezone, "made_by": f"banledger {__version__}"}
        meta = claim(engine, keyspace.meta, made | {"ledger": os.urandom(8).hex()})
        super().__init__(engine, keyspace)
        if self.unknown_zone:  # a ban's day never changes: better wait than record a wrong one
            raise StoreError(
                f"the ledger's time zone {self.unknown_zone} is unknown on this machine",
                hint="reinstall the Python package tzdata, or install the system's (Debian: tzdata-legacy)",
            )
        self.identity, self.timezone = meta["ledger"], meta["timezone"]
        self.shared = engine.shared
        self.replay_s = engine.replay_s
        self._machine = machine or machine_id() or NAMELESS
        self._sources = Sources(engine, keyspace)
        self._snapshots = SnapshotJudge(engine, keyspace)
        owned = [name for name, owner in meta.items() if name.startswith(OWNER) and owner == self._machine]
        self._mine = {text_of(name.removeprefix(OWNER)) for name in owned}
        self._positions = StoredPositions(engine, keyspace)
        engine.settle()

    @cached_property
    def networks(self) -> Networks:
        """The networks and cells, to read and to write."""
        return Networks(self._engine, self.keys)

    def positions(self, servers: Iterable[str] = ()) -> dict[Writer, Position | None]:
        """Return the positions of the writers of these servers, and of all servers known to be on this machine.

        None: the position is damaged.
        """
        mine = self._mine
        if not self.shared:
            mine = {text_of(source.partition("|")[0]) for source in self._engine.members(self.keys.sources)}
        return self._positions.read(mine.union(servers))

    def incarnation(self) -> str:
        """Return the identity of the server's current run; empty: unknown, or no server."""
        return self._engine.server().run

    @cached_property
    def signs(self) -> Signs:
        """The rebuild lease and the recorders' signs of life."""
        return Signs(self._engine, self.keys)

    def beat(self, beat: Heartbeat) -> None:
        """Replace a recorder's heartbeat. Raises StoreError."""
        write(self._engine, self.keys, beat)

    def drop_heartbeats(self, ids: Iterable[str]) -> None:
        """Remove heartbeats of recorders that are gone. Raises StoreError."""
        remove(self._engine, self.keys, ids)

    @cached_property
    def forgetter(self) -> Forgetter:
        """The requests to forget."""
        return Forgetter(self._engine, self.keys)

    def notices(self) -> list[str]:
        """Return warnings for the log about the lines recorded since the last call."""
        notices = self._sources.notices + self._aside.notices
        self._sources.notices, self._aside.notices = [], []
        return notices

    def cautions(self) -> Sequence[str]:
        """Return warnings for the log about the store's settings. Logged once, at the start."""
        cautions = self._engine.server().cautions
        if self._zone_wanted in ("", self.timezone):
            return cautions
        ignored = f"timezone = {self._zone_wanted!r} has no effect: the ledger's time zone is {self.timezone}, for ever"
        return (*cautions, ignored)

    @cached_property
    def labels(self) -> LabelTable | None:
        """The labels and their leases; None: the store has only one recorder."""
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
        """Record lines, exactly once even if they are repeated (UTC epoch `now`; 0: read the clock).

        `locate`: returns the place of an address. `positions`: the positions after these lines; `forgotten`: positions
        to remove.
        """
        now = now or time.time()
        taken = list(lines)
        self.imports.begin()
        placed = self._sources.follow(taken)
        tickets = _those(TicketLine, placed)
        others = placed if len(tickets) < len(placed) else []  # most batches have no others
        held, ends = _those(HeldLine, others), _those(ImportLine, others)
        learned = self._record_networks(_those(NetworkLine, others), now)
        gaps = self._record_gaps(_those(GapLine, others))
        self.forgetter.record(_those(ForgetLine, others), now)
        advances = self._positions.advances(positions, forgotten)
        later = bool(held or ends) or any(map(is_of_past, tickets))  # positions go after the last change
        self._carried = [] if later else advances
        done = self._record_tickets(tickets, locate, now)
        done += Recorded(lines=len(taken), gaps=gaps, networks=learned)
        for snapshot in self._sources.snapshots(held):
            begun = self._sources.since((snapshot[0].server, snapshot[0].jail))
            done += self._record_tickets(self._snapshots.judge(snapshot, begun), locate, now)
        self.imports.end(ends, now)
        advances += self.imports.advances()
        self._sources.save()
        if advances and (later or self._carried):
            self._engine.apply([], advances)
        self._carried = []
        self._positions.written(positions)
        self.imports.stored()
        return done

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


def _those(kind: type[_Line], lines: Iterable[Event]) -> list[_Line]:
    return [line for line in lines if isinstance(line, kind)]
