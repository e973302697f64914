"""Forget between batches what was asked to be forgotten, and what is older than the settings keep.

A request is looked for when its line was recorded, and once a minute, since another recorder may have left one. Old
bans are forgotten once a day, by requests of their own, and only while the wall clock is settled.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from msgspec import Struct

from banledger.clock import ClockWatch
from banledger.errors import StoreError
from banledger.ledger.forget_match import Matcher
from banledger.ledger.forget_request import ForgetRequest, What
from banledger.ledger.lease import RENEW_S, Lease
from banledger.ledger.writer import Ledger
from banledger.report.formats.escape import many
from banledger.service.background import Guard
from banledger.spool.directory import Directory
from banledger.spool.quarantine import remove_rejected
from banledger.spool.reader import SpoolReader

_LOOK_S = 60.0
_AGAIN_S = 1.0  # while the spool holds earlier lines
_BUDGET_S = 0.05  # of one step

_log = logging.getLogger("banledger")


class Retention(Struct, frozen=True):
    """How long bans and their matched lines are kept, seconds; 0: for ever."""

    bans: float = 0.0
    matches: float = 0.0

    def ages(self) -> list[tuple[What, float]]:
        """Return what has an end, and its age."""
        ages: list[tuple[What, float]] = [("bans", self.bans), ("matches", self.matches)]
        return [one for one in ages if one[1]]


class Forgetting:
    """The forgetting of one recorder. Used by one thread.

    holder  its name in leases
    alive   a context in which a step may take minutes: a ledger's file is written anew
    """

    def __init__(
        self,
        spool: SpoolReader,
        retention: Retention,
        watch: ClockWatch,
        holder: str,
        alive: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._spool = spool
        self._retention = retention
        self._watch = watch
        self._alive = alive
        self._guard = Guard("forgetting", watch.elapsed)
        self._lease = Lease(holder, watch.elapsed)
        self._due = self._renew = 0.0
        self._mine = False

    def step(self, ledger: Ledger, now: float) -> None:
        """Do a part (UTC epoch `now`). Raises StoreError only if the store fails recording too."""
        self._guard.run(ledger, lambda: self._step(ledger, now))

    def _step(self, ledger: Ledger, now: float) -> None:
        elapsed, settled = self._watch.elapsed(), self._watch.settled
        if settled and self._retention.matches:
            ledger.erase_before = now - self._retention.matches
        if (elapsed < self._due and not ledger.forgetter.asked) or not self._may(ledger, elapsed, now):
            return
        for what, age in self._retention.ages() if settled else ():
            ledger.forgetter.ask_daily(ForgetRequest(what, now - age, now, at=now))
        more = True
        with self._alive():
            while more and self._watch.elapsed() - elapsed < _BUDGET_S:
                more = ledger.forgetter.step(now, self._rejected, settled=self._recorded_all())
        self._due = elapsed + (0.0 if more else _AGAIN_S if ledger.forgetter.open else _LOOK_S)
        while ledger.forgetter.ended:
            _say(ledger.forgetter.ended.pop(0))

    def _may(self, ledger: Ledger, elapsed: float, now: float) -> bool:
        """Whether no other recorder of the ledger does it."""
        if ledger.shared and elapsed >= self._renew:
            self._mine = self._lease.take(ledger.forgetter.lease, now)
            self._renew = elapsed + RENEW_S
        return self._mine or not ledger.shared

    def _recorded_all(self) -> bool:
        """Whether all lines that the spool holds are recorded."""
        spool = self._spool
        return spool.caught_up and not spool.doubtful and not spool.numbers.held_back

    def _rejected(self, matcher: Matcher) -> int:
        return remove_rejected(Directory(self._spool.directory), matcher.in_text)

    def close(self, ledger: Ledger | None) -> None:
        """Let another recorder do it at once."""
        if ledger is not None and ledger.shared and self._mine:
            with suppress(StoreError):
                self._lease.give_back(ledger.forgetter.lease)


def _say(request: ForgetRequest) -> None:
    """Log what was forgotten, not of whom."""
    done = request.result
    parts = [many(done.bans, "ban"), f"parts of {many(done.erased, 'ban')}", many(done.others, "other record")]
    found = [part for part, number in zip(parts, (done.bans, done.erased, done.others), strict=True) if number]
    if found or request.what not in ("bans", "matches"):
        _log.info("forgotten (%s): %s", request.what, ", ".join(found) or "nothing")
