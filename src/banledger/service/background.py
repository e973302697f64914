"""Run whois between batches. An error in it pauses whois and never stops recording."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from banledger.errors import BanledgerError, StoreError
from banledger.ledger.heartbeat import WhoisActivity
from banledger.ledger.writer import Ledger
from banledger.service.outage import Outage

_log = logging.getLogger("banledger")


class Background(Protocol):
    """Work between batches that never delays them. See `whois.worker.Whois`."""

    def step(self, ledger: Ledger, now: float) -> None:
        """Do one step (UTC epoch `now`). Raises StoreError."""
        ...

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Read a page of what the ledger knows; return whether it was the last."""
        ...

    def activity(self) -> WhoisActivity:
        """Return what it does, and what hinders it."""
        ...

    def leave(self, ledger: Ledger) -> None:
        """Let another recorder do the work. Raises StoreError."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class Guard:
    """Runs work between batches. After an error it pauses; an error never stops recording. `elapsed`: seconds.

    trouble  why the work pauses; empty: it doesn't
    """

    def __init__(self, name: str, elapsed: Callable[[], float]) -> None:
        self._name = name
        self._elapsed = elapsed
        self._outage = Outage(5.0, 300.0, once=True)
        self._paused_until = 0.0
        self.trouble = ""

    def run(self, ledger: Ledger, work: Callable[[], None]) -> None:
        """Do the work, unless it pauses. Raises StoreError only if the store fails recording too."""
        if self._elapsed() < self._paused_until:
            return
        try:
            work()
            self._outage.over()
            self.trouble = ""
        except Exception as error:  # noqa: BLE001  # recording comes first
            if isinstance(error, StoreError):
                raise_if_lost(ledger, error)
            self._pause(error)

    def _pause(self, error: Exception) -> None:
        """Log each kind of error once; an unexpected error with its traceback."""
        news = self._outage.failed(getattr(error, "hint", "") or type(error).__name__)
        self._paused_until = self._elapsed() + self._outage.wait_s
        self.trouble = str(error) or type(error).__name__
        if news:
            unforeseen = None if isinstance(error, BanledgerError) else error
            _log.warning("%s paused: %r; bans are recorded without it", self._name, str(error), exc_info=unforeseen)


class Pausable:
    """Background work with a pause after each error. None: there is no such work. `elapsed`: seconds."""

    def __init__(self, work: Background | None, elapsed: Callable[[], float]) -> None:
        self._work = work
        self._guard = Guard("whois", elapsed)

    def activity(self) -> WhoisActivity:
        """Return what the work does, and what hinders it."""
        if self._work is None:
            return WhoisActivity("disabled")
        return replace(self._work.activity(), trouble=self._guard.trouble)

    def step(self, ledger: Ledger, now: float) -> None:
        """Do one step, unless paused. Raises StoreError only if the store fails recording too."""
        if (work := self._work) is not None:
            self._guard.run(ledger, lambda: work.step(ledger, now))

    def follow(self, ledger: Ledger, now: float) -> None:
        """Read everything that the ledger knows. Raises StoreError."""
        while self._work is not None and not self._work.follow(ledger, now):
            pass

    def close(self, ledger: Ledger | None) -> None:
        """Stop, and let another recorder do the work."""
        if self._work is not None:
            self._work.close()
            if ledger is not None:
                with suppress(StoreError):
                    self._work.leave(ledger)


def raise_if_lost(ledger: Ledger, error: StoreError) -> None:
    """Raise the error if the store can't be read at all."""
    try:
        ledger.lost()
    except StoreError:
        raise error  # noqa: B904  # the first error is the most precise
