"""The values that a record and a line hold, each with its own join. See `merge`. Pure."""

from typing import NamedTuple

from msgspec import Struct

from banledger.ledger.ban import EXACT, RANK
from banledger.ledger.moment import Moment

NEVER = Moment(float("-inf"), float("-inf"))
"""Before every moment."""


class Base(Struct, frozen=True, gc=False):
    """How a ban began. `bantime`, `bancount`: its term, unless the origin is live: then `Term` has it.

    `exact`: how its second is known (see `ban`).
    """

    origin: str
    seen: Moment
    failures: int = 0
    users: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    bantime: int = 0
    bancount: int = 0
    exact: int = EXACT

    def join(self, other: "Base") -> "Base":
        """Return the base of the better origin; of the same origin the earlier one."""
        return min(self, other, key=_preference)


def _preference(base: Base) -> tuple[object, ...]:
    known = RANK[base.origin], -base.exact
    return *known, base.seen, base.failures, base.users, base.matches, -base.bantime, -base.bancount


class Term(Struct, frozen=True, gc=False, order=True):
    """How long a ban lasts, from a live ban line or a prolong (`prolonged`) at that moment."""

    at: Moment = NEVER
    prolonged: bool = False
    bantime: int = 0
    bancount: int = 0

    def join(self, other: "Term") -> "Term":
        """Return the later one; of the same moment a prolong rather than a ban line."""
        return max(self, other)


class Ending(NamedTuple):
    """When a snapshot no longer had the ban, and why."""

    at: Moment
    because: str


class End(Struct, frozen=True, gc=False):
    """The last time that a ban began live, was held by a snapshot, was unbanned, and was missing in a snapshot."""

    begun: Moment = NEVER
    held: Moment = NEVER
    unbanned: Moment = NEVER
    ended: Ending = Ending(NEVER, "")  # immutable

    def join(self, other: "End") -> "End":
        """Return the latest of each."""
        return End(
            max(self.begun, other.begun),
            max(self.held, other.held),
            max(self.unbanned, other.unbanned),
            max(self.ended, other.ended),
        )

    @property
    def open_again(self) -> bool:
        """Whether the ban began or was held after it was unbanned."""
        return self.begun > self.unbanned or self.held >= self.unbanned

    @property
    def overtaken(self) -> bool:
        """Whether the ban began, was held or was unbanned after it ended."""
        ended = self.ended.at
        return self.begun > ended or self.held >= ended or self.unbanned > ended


NO_TERM, NO_END = Term(), End()


class Parts(NamedTuple):
    """All that is known about a ban, except its place."""

    base: Base
    term: Term = NO_TERM
    end: End = NO_END

    def join(self, other: "Parts") -> "Parts":
        """Join each part."""
        return Parts(self.base.join(other.base), self.term.join(other.term), self.end.join(other.end))
