"""Leases: fields `holder` and `until` of a hash. Which of several has something, without comparing clocks.

Theory of operation. Clocks of recorders may differ by years, so none is compared with another. The holder writes the
lease anew now and then. The others only watch whether it changes (`Watch`): one that stayed the same for long by their
own elapsed time has no living holder and is taken, provided that it is still the same then. `until` is for people, and
for recorders of older versions.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

from banledger.ledger.swap import swap
from banledger.stores.api import Engine, Hash

_Seen = TypeVar("_Seen")


class Held(Struct, frozen=True):
    """A lease as its hash has it: who holds it, and until when (UTC epoch by the holder's clock; 0: given back)."""

    holder: str = ""
    until: str = ""

    @property
    def free(self) -> bool:
        """Whether nobody holds it."""
        return not self.holder or not _number(self.until)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def held_by(fields: Hash) -> Held:
    """The lease in a hash."""
    return Held(fields.get("holder", ""), fields.get("until", ""))


def take(engine: Engine, key: str, wanted: Held, seen: Held) -> Held:
    """Make `wanted` the lease at `key` unless another holds it; the lease as it is then. Raises StoreError.

    Its holder may always change it; another may if it is free, or still exactly what was `seen`.
    """

    def decide(have: Hash) -> Hash | None:
        held = held_by(have)
        yields = held.free or held.holder == wanted.holder or held == seen
        return {"holder": wanted.holder, "until": wanted.until} if yields else None

    return held_by(swap(engine, key, decide, ("holder", "until"))[1])


class Watch(Generic[_Seen]):
    """How long something stayed the same. `elapsed`: seconds that never go back."""

    def __init__(self, elapsed: Callable[[], float], seen: _Seen) -> None:
        self._elapsed = elapsed
        self.seen = seen
        self._since = elapsed()

    def see(self, now: _Seen) -> None:
        """It is this now."""
        if now != self.seen:
            self.seen, self._since = now, self._elapsed()

    @property
    def still_s(self) -> float:
        """For how many seconds it has been what was seen last."""
        return self._elapsed() - self._since
