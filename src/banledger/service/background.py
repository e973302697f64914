"""Whois between batches: errors in it pause it, and never stop recording."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from banledger.errors import BanledgerError, StoreError
from banledger.ledger.writer import Ledger
from banledger.service.outage import Outage

_log = logging.getLogger("banledger")


class Background(Protocol):
    """What is done for the ledger between batches, without making them wait. See `whois.worker.Whois`."""

    def step(self, ledger: Ledger, now: float) -> None:
        """Do a little (UTC epoch `now`). Raises StoreError."""
        ...

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Learn a little of what the ledger knows; whether that was all."""
        ...

    def leave(self, ledger: Ledger) -> None:
        """Let others do it. Raises StoreError."""
        ...

    def close(self) -> None:
        """Do no more."""
        ...


class Pausable:
    """Background work that is paused after an error. None: there is no such work. `elapsed`: seconds."""

    def __init__(self, work: Background | None, elapsed: Callable[[], float]) -> None:
        self._work = work
        self._elapsed = elapsed
        self._outage = Outage(5.0, 300.0, once=True)
        self._paused_until = 0.0

    def step(self, ledger: Ledger, now: float) -> None:
        """Do a little, unless it is paused. Raises StoreError only where the store fails recording too."""
        if self._work is None or self._elapsed() < self._paused_until:
            return
        try:
            self._work.step(ledger, now)
            self._outage.over()
        except Exception as error:  # noqa: BLE001  # whatever it is, bans go first
            if isinstance(error, StoreError):
                _raise_if_lost(ledger, error)
            self._pause(error)

    def _pause(self, error: Exception) -> None:
        """Log each kind of error once; one that nobody foresaw with its traceback."""
        news = self._outage.failed(getattr(error, "hint", "") or type(error).__name__)
        self._paused_until = self._elapsed() + self._outage.wait_s
        if news:
            unforeseen = None if isinstance(error, BanledgerError) else error
            _log.warning("whois paused: %r; bans are recorded without it", str(error), exc_info=unforeseen)

    def follow(self, ledger: Ledger, now: float) -> None:
        """Learn all that the ledger knows. Raises StoreError."""
        while self._work is not None and not self._work.follow(ledger, now):
            pass

    def close(self, ledger: Ledger | None) -> None:
        """Do no more, and let others do it."""
        if self._work is not None:
            self._work.close()
            if ledger is not None:
                with suppress(StoreError):
                    self._work.leave(ledger)


def _raise_if_lost(ledger: Ledger, error: StoreError) -> None:
    """Raise the error if nothing can be read from the store any more."""
    try:
        ledger.lost()
    except StoreError:
        raise error  # noqa: B904  # the first one says it best
