"""The proof that a setup works: that fail2ban's jails have started is in the ledger.

The action writes a line when its jail starts; the recorder reads it. So the whole way is proven, and no ban is made up
that would stay in the record.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing

from banledger.errors import BanledgerError, StoreError
from banledger.ledger.opening import open_to_read
from banledger.ledger.source import RUNNING
from banledger.settings import Settings
from banledger.stores.connect import access

_LONGEST_S = 30.0
_PAUSE_S = 0.2


class Proof:
    """Whether the ledger that the service's settings name has these jails of a server as running.

    restarted: when this setup restarted them, UTC epoch seconds, 0: it did not. An earlier start proves nothing then.
    """

    def __init__(
        self, settings: Callable[[], Settings], server: str, jails: Sequence[str], restarted: Callable[[], float]
    ) -> None:
        self._settings, self._restarted = settings, restarted
        self._wanted = {(server, jail) for jail in jails}

    def given(self) -> bool:
        """Whether it has."""
        return not self._missing()

    def wait(self) -> None:
        """Wait until it has. Raises BanledgerError."""
        began = time.monotonic()
        while missing := self._missing():
            if time.monotonic() - began > _LONGEST_S:
                raise BanledgerError(
                    f"fail2ban has the action, but nothing of it is recorded: {missing}",
                    hint="journalctl -u banledger; bans wait in the spool meanwhile",
                )
            time.sleep(_PAUSE_S)

    def _missing(self) -> str:
        """What is missing; empty if nothing is."""
        settings = self._settings()
        try:
            with closing(open_to_read(settings.store, settings.prefix, access(settings))) as reader:
                running = {
                    (source.server, source.jail)
                    for source in reader.sources
                    if source.state == RUNNING and source.since >= self._restarted()
                }
        except StoreError as error:
            return str(error)
        return ", ".join(sorted(jail for _, jail in self._wanted - running))
