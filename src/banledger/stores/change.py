"""A write to a store: one hash, and the difference between its entries before and after. Pure.

The ledger decides which entries follow from a hash. An engine that writes in several steps asks it through `Layout`.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from msgspec import Struct

from banledger.stores.selection import Projection

_Item = TypeVar("_Item")

FEED_KEPT = 10_000
"""A feed has the members of its last so many moves. See `Entries.feed`."""


class Score(Struct, frozen=True, gc=False):
    """The wanted score of `member` in the sorted set `key`; None: no entry."""

    key: str
    member: str
    score: float | None


class Ranking(Struct, frozen=True, gc=False, cache_hash=True):
    """An entry of the sorted set `key`: the score of `member` is the total size of the sets `sources`."""

    key: str
    member: str
    sources: tuple[str, ...]


class Entries(Struct, frozen=True, gc=False):
    """All that follows from a hash under other keys.

    sets      sets that contain `member`
    scores    entries of sorted sets
    tallies   (key, member) of sorted sets in which the hash counts 1; they lie in the slot of the hash
    rankings  entries whose score is the size of those sets
    feed      the sorted set in which every change of the hash moves `member` to the end; empty: none. Its scores are
              numbers that only grow, from 1; a repeated step may move a member again
    """

    member: str = ""
    sets: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    tallies: tuple[tuple[str, str], ...] = ()
    rankings: tuple[Ranking, ...] = ()
    feed: str = ""


NOTHING = Entries()
"""The entries of an absent hash."""


class Change(Struct, frozen=True, gc=False):
    """A change of one hash, and its entries before and after.

    guard    values that the fields must still have (value None: the field must be absent; empty: no condition);
             None: there must be no hash. To remove or to replace a hash, it has all fields that decide the entries
    fields   fields to set; None: remove the hash
    drop     fields to remove
    whole    replace the hash: remove all fields that are not in `fields`
    """

    key: str
    guard: dict[str, str | None] | None
    fields: dict[str, str] | None
    drop: tuple[str, ...] = ()
    before: Entries = NOTHING
    after: Entries = NOTHING
    whole: bool = False

    @property
    def keeps(self) -> bool:
        """Whether the fields that the change does not name stay."""
        return self.fields is not None and not self.whole


class Difference(Struct, frozen=True, gc=False):
    """What must be written so that the entries match their hash.

    joins, leaves  sets to add `member` to, and to remove it from
    scores         entries of sorted sets to write or to remove
    more, fewer    (key, member) of tallies to increment, and to decrement
    rankings       entries of rankings whose sets change
    feed           the feed in which `member` moves to the end; empty: none
    """

    member: str = ""
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    fewer: tuple[tuple[str, str], ...] = ()
    rankings: tuple[Ranking, ...] = ()
    feed: str = ""


def difference(before: Entries, after: Entries) -> Difference:
    """Return the difference of two states of one hash. Both have the same member, unless one of them has none."""
    if not (before.sets or before.scores or before.tallies or before.feed):  # most changes: a new ban
        return Difference(after.member, after.sets, (), after.scores, after.tallies, (), after.rankings, after.feed)
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
        after.feed or before.feed,
    )


def _apart(old: tuple[_Item, ...], new: tuple[_Item, ...]) -> tuple[tuple[_Item, ...], tuple[_Item, ...]]:
    """Return the items that only `old` has, and those that only `new` has."""
    if old is new or old == new:
        return (), ()
    return tuple([item for item in old if item not in new]), tuple([item for item in new if item not in old])


def _scores(old: tuple[Score, ...], new: tuple[Score, ...]) -> tuple[Score, ...]:
    gone, come = _apart(old, new)
    kept = {(score.key, score.member) for score in come}
    return (*[Score(one.key, one.member, None) for one in gone if (one.key, one.member) not in kept], *come)


class Layout(Protocol):
    """What an engine must know about the keys that it stores.

    months           the key of the set of slots
    standing_fields  fields of a hash that may change and that decide its entries outside its slot
    projection       the rows that an engine may keep
    """

    @property
    def months(self) -> str: ...

    @property
    def standing_fields(self) -> tuple[str, ...]: ...

    @property
    def projection(self) -> Projection: ...

    def outbox(self, slot: str) -> str:
        """The key of a slot's outbox: the work still to be done outside the slot."""
        ...

    def entries_of(self, key: str, fields: Mapping[str, str]) -> Entries:
        """The entries of the hash at `key`, given its `fields`; empty if it is gone. Raises `fields.Damaged`."""
        ...
