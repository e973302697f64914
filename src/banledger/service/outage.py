"""Outages: log the beginning and the end, choose the wait, and set the status for the service manager."""

import logging
from typing import Protocol

from banledger.errors import BanledgerError, SpoolError
from banledger.service.systemd import Notifier
from banledger.spool.reader import SpoolReader

RECORDING = "recording"

FIRST_S, LONGEST_S = 0.5, 5.0
"""Waits between tries, the first and the longest: who mends a store or a spool sees soon that it works."""

_log = logging.getLogger("banledger")


class Until(Protocol):
    """Ends the loop: `stopped` says whether to end, `wait` (seconds) returns early then."""

    @property
    def stopped(self) -> bool: ...

    def wait(self, seconds: float) -> None: ...


class Outage:
    """An outage of one thing. Each kind of failure is logged once per outage, or once ever (`once`).

    wait_s  until the next try: from `first_s`, twice as long each time, up to `longest_s`; 0: no outage
    """

    def __init__(self, first_s: float, longest_s: float, *, once: bool = False) -> None:
        self.wait_s = 0.0
        self._first_s, self._longest_s = first_s, longest_s
        self._once = once
        self._logged: set[str] = set()

    def failed(self, kind: str) -> bool:
        """Note a failure; return whether this kind is new."""
        self.wait_s = min(2 * self.wait_s, self._longest_s) or self._first_s
        news = kind not in self._logged
        self._logged.add(kind)
        return news

    def over(self) -> bool:
        """Note a success; return whether an outage ended."""
        ended, self.wait_s = self.wait_s > 0, 0.0
        if not self._once:
            self._logged.clear()
        return ended


class ServiceStatus:
    """Outages of store and spool in the journal, and the status that the service manager shows."""

    def __init__(self, notifier: Notifier, spool: SpoolReader) -> None:
        self._notifier = notifier
        self._spool = spool
        self._outage = Outage(FIRST_S, LONGEST_S)
        self._shown = RECORDING
        notifier.ready(RECORDING)

    def failed(self, error: BanledgerError) -> float:
        """Note a failed step; return the seconds to wait. The hint identifies the kind of failure: details may vary."""
        if self._outage.failed(error.hint or str(error)):
            _log.error("%s", self._text(error))
            self._show(f"waiting: {error}")
        return self._outage.wait_s

    def _text(self, error: BanledgerError) -> str:
        missing = self._spool.missing
        if missing and isinstance(error, SpoolError):
            absent = f"can't read the spool {self._spool.directory}: there is no such directory"
            return f"{absent}, so no ban is recorded ({error.hint})"
        meanwhile = "no ban is recorded: there is no spool" if missing else "bans wait in the spool"
        return f"{error}; {meanwhile} ({error.hint or 'it is tried again'})"

    def works(self, status: str) -> None:
        """Note a successful step, and set the status."""
        if self._outage.over():
            _log.warning("recording again")
        self._show(status)

    def _show(self, status: str) -> None:
        if status != self._shown:
            self._shown = status
            self._notifier.status(status)
