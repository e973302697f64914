"""What a recorder does about a store that may have lost something: notice it, record again, look whether it is whole.

Theory of operation. After a lost connection the lines of the replay window are recorded again; after the store went
back, all lines that the spool holds. Until that is done (`active`), bans that the store has already are put again
wherever they must stand. If the server was restarted, the days that were touched are checked after that, one at a time.
"""

import logging

from banledger.geo.place import Locate
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.day_check import DayCheck
from banledger.ledger.writer import Ledger
from banledger.service.memory import Memory
from banledger.spool.events import Event
from banledger.spool.position import losses
from banledger.spool.reader import SpoolReader

_CAME_BACK = "the store came back without the ledger: what it held is gone; recording into a new one"
_WENT_BACK = (
    "the store went back: %d lines that it had are gone; what the spool still holds of them is recorded again, the rest"
    " is a gap"
)

_log = logging.getLogger("banledger")


class Replay:
    """One recorder's. Used by one thread. `active`: whether lines that the store had are being recorded again."""

    def __init__(self, spool: SpoolReader, memory: Memory) -> None:
        self._spool = spool
        self._memory = memory
        self._incarnation = ""
        self._restarted = False
        self._check = DayCheck()
        self.active = False

    def opened(self, ledger: Ledger) -> None:
        """Notice what the store lost since then, and whether its server was restarted. Raises StoreError."""
        memory, known = self._memory, self._memory.positions
        same = memory.ledger in ("", ledger.identity)
        if not (same or ledger.damaged):
            _log.error(_CAME_BACK)
        there = ledger.positions(known.servers)
        lost = losses(known, there)
        if lost and same:
            _log.error(_WENT_BACK, sum(loss.known.last - loss.first + 1 for loss in lost))
        recorded = [position for position in there.values() if position is not None]
        self._spool.expect(recorded)
        if lost:
            self._spool.reread(lost)
        known.adopt(recorded)
        self._incarnation = ledger.incarnation()
        self._restarted |= memory.incarnation not in ("", self._incarnation)
        self.active |= bool(lost) or self._restarted
        memory.ledger = ledger.identity
        if not self._restarted:
            memory.incarnation = self._incarnation

    def others_recorded(self, ledger: Ledger) -> None:
        """Another recorder may have recorded lines of this spool. Raises StoreError."""
        there = ledger.positions(self._memory.positions.servers)
        recorded = [position for position in there.values() if position is not None]
        self._spool.catch_up(recorded)
        self._memory.positions.adopt(recorded)

    def lost_connection(self) -> None:
        """Nobody knows what the store still has of the last moments: read them again."""
        self._spool.rewind()
        self.active = True

    def record(self, ledger: Ledger, lines: list[Event], locate: Locate, now: float) -> Recorded:
        """Record the lines, and how far they are recorded; remember that before any segment goes."""
        positions = self._spool.positions()
        if not lines and not positions:
            return Recorded()
        ledger.reassert = self.active
        known = self._memory.positions
        done = ledger.record(lines, locate, now, positions, known.drop_old())
        known.raise_to(positions)
        self._memory.save()
        return done

    def committed(self, ledger: Ledger) -> None:
        """What was read is in the ledger: the replay ends with the last line that is there."""
        if not self.active or not self._spool.caught_up or self._spool.doubtful:
            return
        self.active = ledger.reassert = False
        if self._restarted:
            self._check.begin(ledger.touched)
        ledger.touched = set()

    def step(self, ledger: Ledger) -> None:
        """Look whether one more day is whole, if the server was restarted. Raises StoreError."""
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
