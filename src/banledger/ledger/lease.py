"""Leases: the fields `holder` and `until` of a hash. Only one process holds a lease; clocks are not compared.

Theory of operation. Clocks of recorders may differ by years, so they are never compared. The holder renews the lease
regularly. The others only watch whether it changes (`Watch`): a lease that stayed the same for long enough, by their
own elapsed time, has no living holder; it is taken if it is still the same at that moment. `until` is for people, and
for recorders of older versions.
"""

from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

from banledger.ledger.swap import swap
from banledger.stores.api import Engine, Hash

LEASE_S = 60.0
"""How long a lease that is not renewed has a holder, seconds."""
RENEW_S = LEASE_S / 3

_Seen = TypeVar("_Seen")


class Held(Struct, frozen=True):
    """A lease: its holder, and until when (UTC epoch by the holder's clock; 0: released)."""

    holder: str = ""
    until: str = ""

    @property
    def free(self) -> bool:
        """Whether the lease has no holder."""
        return not self.holder or not _number(self.until)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def held_by(fields: Hash) -> Held:
    """Return the lease in a hash."""
    return Held(fields.get("holder", ""), fields.get("until", ""))


def take(engine: Engine, key: str, wanted: Held, seen: Held) -> Held:
    """Make `wanted` the lease at `key` unless another process holds it; return the lease. Raises StoreError.

    Its holder may always change it; another process may if the lease is free, or still equal to `seen`.
    """

    def decide(have: Hash) -> Hash | None:
        held = held_by(have)
        yields = held.free or held.holder == wanted.holder or held == seen
        return {"holder": wanted.holder, "until": wanted.until} if yields else None

    return held_by(swap(engine, key, decide, ("holder", "until"))[1])


class Watch(Generic[_Seen]):
    """Measures how long a value stayed the same. `elapsed`: monotonic clock, seconds."""

    def __init__(self, elapsed: Callable[[], float], seen: _Seen) -> None:
        self._elapsed = elapsed
        self.seen = seen
        self._since = elapsed()

    def see(self, now: _Seen) -> None:
        """Note the current value."""
        if now != self.seen:
            self.seen, self._since = now, self._elapsed()

    @property
    def still_s(self) -> float:
        """Seconds since the value last changed."""
        return self._elapsed() - self._since


Take: TypeAlias = Callable[[Held, Held], Held]
"""Take a lease, given the wanted one and the one that has no living holder. See `take`."""


class Lease:
    """One process's side of a lease. `elapsed`: elapsed seconds. Used by one thread."""

    def __init__(self, holder: str, elapsed: Callable[[], float]) -> None:
        self._holder = holder
        self._watch = Watch(elapsed, Held())

    def take(self, take: Take, now: float) -> bool:
        """Take or renew it (UTC epoch `now`); whether it is ours for the next `RENEW_S`. Raises StoreError."""
        seen = self._watch.seen if self._watch.still_s >= LEASE_S else Held()
        there = take(Held(self._holder, repr(now + LEASE_S)), seen)
        self._watch.see(there)
        return there.holder == self._holder

    def give_back(self, take: Take) -> None:
        """Release it, so that another process can take it at once. Raises StoreError."""
        take(Held(self._holder, "0"), Held())
