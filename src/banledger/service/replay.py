"""Recover after a store may have lost writes: notice it, record again, check that the ledger is whole.

Theory of operation. After a lost connection the lines of the replay window are recorded again; after the store went
back, all lines that the spool holds. Until that is done (`active`), bans that the store already has are added
again to all their sets and rankings. If the server was restarted, the affected days are then checked, one at a time.
"""

import logging
from collections.abc import Iterable, Mapping

from banledger.geo.place import Locate
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.day_check import DayCheck
from banledger.ledger.writer import Ledger
from banledger.service.memory import Memory
from banledger.spool.events import Event
from banledger.spool.position import Position, Writer, losses
from banledger.spool.reader import SpoolReader

DAMAGED = (
    "the ledger has lost %s: the store evicted it, or another program deleted it; it was created again, and recording"
    " continues (docs/stores.md, 'When keys are gone', says how to repair the rest)"
)
"""Logged by the recorder when it opens such a ledger. `%s`: the key."""

_CAME_BACK = "the store came back without the ledger: its content is gone; recording into a new ledger"
_WENT_BACK = "the store went back: %d lines are lost; those still in the spool are recorded again, the rest is a gap"

_log = logging.getLogger("banledger")


class Replay:
    """The replay of one recorder. Used by one thread. `active`: whether a replay is running."""

    def __init__(self, spool: SpoolReader, memory: Memory) -> None:
        self._spool = spool
        self._memory = memory
        self._incarnation = ""
        self._restarted = False
        self._check = DayCheck()
        self.active = False

    def opened(self, ledger: Ledger) -> None:
        """Check what the store lost since the last connection, and whether its server restarted. Raises StoreError."""
        memory, known = self._memory, self._memory.positions
        same = memory.ledger in ("", ledger.identity)
        if not (same or ledger.damaged):
            _log.error(_CAME_BACK)
        there = ledger.positions(known.servers)
        lost = losses(known, there)
        if lost and same:
            _log.error(_WENT_BACK, sum(loss.known.last - loss.first + 1 for loss in lost))
        self._spool.numbers.expect(self._adopt(there))
        if held := memory.unrecorded:
            self._spool.numbers.expect(_undamaged(ledger.positions({position.server for position in held})))
            self._spool.numbers.recall(held)
        if lost:
            self._spool.reread(lost)
        self._incarnation = ledger.incarnation()
        self._restarted |= memory.incarnation not in ("", self._incarnation)
        self.active |= bool(lost) or self._restarted
        memory.ledger = ledger.identity
        if not self._restarted:
            memory.incarnation = self._incarnation

    def released(self, ledger: Ledger, labels: Iterable[str]) -> None:
        """Take over positions of released labels: another recorder may have recorded their lines. Raises StoreError."""
        self._spool.numbers.catch_up(self._adopt(ledger.positions(labels)))

    def _adopt(self, there: Mapping[Writer, Position | None]) -> list[Position]:
        """Remember the store's positions; return those that are not damaged."""
        recorded = _undamaged(there)
        self._memory.positions.adopt(recorded)
        return recorded

    def lost_connection(self) -> None:
        """Recent writes may be lost: read the replay window again."""
        self._spool.rewind()
        self.active = True

    def record(self, ledger: Ledger, lines: list[Event], locate: Locate, now: float) -> Recorded:
        """Record the lines and their positions; save the memory before any segment is removed."""
        positions, done = self._spool.numbers.positions(), Recorded()
        if lines or positions:
            ledger.reassert = self.active
            known = self._memory.positions
            done = ledger.record(lines, locate, now, positions, known.drop_old())
            known.raise_to(positions)
        self._memory.unrecorded = tuple(self._spool.numbers.unrecorded())
        self._memory.save()
        return done

    def committed(self, ledger: Ledger) -> None:
        """The lines are in the ledger: the replay ends with the last line in the spool."""
        if not self.active or not self._spool.caught_up or self._spool.doubtful:
            return
        self.active = ledger.reassert = False
        if self._restarted:
            self._check.begin(ledger.touched)
        ledger.touched = set()

    def step(self, ledger: Ledger) -> None:
        """Check one more day if the server was restarted. Raises StoreError."""
        if not self._check.pending:
            return
        finding = self._check.step(ledger.store(), ledger.keys)
        if self._check.pending:
            return
        if self._check.found_faults:
            _log.error("%s; run banledger store rebuild", finding)
        else:
            _log.info("%s", finding)
        self._restarted = False
        self._memory.incarnation = self._incarnation
        self._memory.save()


def _undamaged(there: Mapping[Writer, Position | None]) -> list[Position]:
    return [position for position in there.values() if position is not None]
