"""The lease on look-ups: which of the recorders that share a ledger may ask registries. See `ledger/lease.py`."""

from collections.abc import Callable

from banledger.ledger.lease import Held, Watch
from banledger.ledger.networks import Networks

LEASE_S = 60.0
RENEW_S = LEASE_S / 3


class Lease:
    """One recorder's side of the lease. `elapsed`: elapsed seconds. Used by one thread."""

    def __init__(self, holder: str, elapsed: Callable[[], float]) -> None:
        self._holder = holder
        self._watch = Watch(elapsed, Held())

    def take(self, networks: Networks, now: float) -> bool:
        """Take or renew it (UTC epoch `now`); whether it is ours for the next `RENEW_S`. Raises StoreError."""
        seen = self._watch.seen if self._watch.still_s >= LEASE_S else Held()
        there = networks.lease(Held(self._holder, repr(now + LEASE_S)), seen)
        self._watch.see(there)
        return there.holder == self._holder

    def give_back(self, networks: Networks) -> None:
        """Release it, so that another recorder can take it at once. Raises StoreError."""
        networks.lease(Held(self._holder, "0"), Held())
