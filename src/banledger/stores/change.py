"""What a write to a store consists of: a hash, and the difference of what it implied before and after. Pure.

The ledger decides what a hash implies; an engine that writes in several steps asks it by way of `Layout`.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from msgspec import Struct

_Item = TypeVar("_Item")


class Score(Struct, frozen=True, gc=False):
    """`member` of the sorted set `key` must have `score`; None: must not be there."""

    key: str
    member: str
    score: float | None


class Ranking(Struct, frozen=True, gc=False, cache_hash=True):
    """`member` of the sorted set `key` must have the size of the `sources` (sets) together as its score."""

    key: str
    member: str
    sources: tuple[str, ...]


class Entries(Struct, frozen=True, gc=False):
    """All that a hash implies under other keys.

    sets      sets that have `member`
    scores    entries of sorted sets
    tallies   (key, member) of sorted sets: it counts 1 there. They lie in the hash's own slot
    rankings  what follows from the sizes of its sets
    """

    member: str = ""
    sets: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    tallies: tuple[tuple[str, str], ...] = ()
    rankings: tuple[Ranking, ...] = ()


NOTHING = Entries()
"""What a hash implies that is not there."""


class Change(Struct, frozen=True, gc=False):
    """One hash, and what it implied until now (`before`) and implies then (`after`).

    guard    field values the hash must still have (None as value: not have; none at all: any); None: there must be no
             hash. The guard of a hash that goes has all fields that decide what it implied
    fields   what the hash gets; None: the whole hash goes
    drop     fields it loses
    """

    key: str
    guard: dict[str, str | None] | None
    fields: dict[str, str] | None
    drop: tuple[str, ...] = ()
    before: Entries = NOTHING
    after: Entries = NOTHING


class Difference(Struct, frozen=True, gc=False):
    """What must be written for entries to follow their hash.

    joins, leaves  sets that `member` joins, and leaves
    scores         entries of sorted sets that are to be put, or removed
    more, fewer    (key, member) of tallies that count one more, and one fewer
    rankings       those whose sets change
    """

    member: str = ""
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    fewer: tuple[tuple[str, str], ...] = ()
    rankings: tuple[Ranking, ...] = ()


def difference(before: Entries, after: Entries) -> Difference:
    """From one state to another. They have the same member, unless one of them has none."""
    if not (before.sets or before.scores or before.tallies):  # most changes: a new ban
        return Difference(after.member, after.sets, (), after.scores, after.tallies, (), after.rankings)
    left, joined = _apart(before.sets, after.sets)
    fewer, more = _apart(before.tallies, after.tallies)
    unranked, ranked = _apart(before.rankings, after.rankings)
    return Difference(
        after.member or before.member,
        joined,
        left,
        _scores(before.scores, after.scores),
        more,
        fewer,
        unranked + ranked,
    )


def _apart(old: tuple[_Item, ...], new: tuple[_Item, ...]) -> tuple[tuple[_Item, ...], tuple[_Item, ...]]:
    """Those that only the old ones have, and those that only the new ones have."""
    if old is new or old == new:
        return (), ()
    return tuple([item for item in old if item not in new]), tuple([item for item in new if item not in old])


def _scores(old: tuple[Score, ...], new: tuple[Score, ...]) -> tuple[Score, ...]:
    gone, come = _apart(old, new)
    kept = {(score.key, score.member) for score in come}
    return (*[Score(one.key, one.member, None) for one in gone if (one.key, one.member) not in kept], *come)


class Layout(Protocol):
    """What an engine must know of the keys that it stores.

    months           the key of the set of slots
    standing_fields  fields of a hash that may change and that decide what it implies outside its slot
    """

    @property
    def months(self) -> str: ...

    @property
    def standing_fields(self) -> tuple[str, ...]: ...

    def outbox(self, slot: str) -> str:
        """The key of what is still to be done outside a slot."""
        ...

    def entries_of(self, key: str, fields: Mapping[str, str]) -> Entries:
        """What the hash at `key` implies as it is now; one that is gone: nothing. Raises `fields.Damaged`."""
        ...
