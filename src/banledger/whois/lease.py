"""The lease: one recorder of a shared ledger may ask registries.

Theory of operation. Recorders' clocks may differ by years, so they are never compared. The holder rewrites the lease
every `RENEW_S`. The others watch for changes: a lease that stayed the same for `LEASE_S` of their own elapsed time has
no living holder, and is taken by compare and set. `until` is for people, and for recorders of older versions.
"""

from collections.abc import Callable

from banledger.ledger.networks import Networks
from banledger.stores.api import Held

LEASE_S = 60.0
RENEW_S = LEASE_S / 3


class Lease:
    """One recorder's side of the lease. `elapsed`: elapsed seconds. Used by one thread."""

    def __init__(self, holder: str, elapsed: Callable[[], float]) -> None:
        self._holder = holder
        self._elapsed = elapsed
        self._seen = Held()
        self._since = 0.0

    def take(self, networks: Networks, now: float) -> bool:
        """Take or renew it (UTC epoch `now`); return whether it is ours for the next `RENEW_S`. Raises StoreError."""
        unchanged = self._elapsed() - self._since >= LEASE_S
        there = networks.lease(Held(self._holder, repr(now + LEASE_S)), self._seen if unchanged else Held())
        if there != self._seen:
            self._seen, self._since = there, self._elapsed()
        return there.holder == self._holder

    def give_back(self, networks: Networks) -> None:
        """Release it, so that another recorder can take it at once. Raises StoreError."""
        networks.lease(Held(self._holder, "0"), Held())
