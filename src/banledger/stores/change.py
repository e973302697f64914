"""What a write to a store consists of: a hash, and the entries of other keys that follow from it. Pure.

The ledger decides what follows from a hash; an engine that writes in several steps asks it by way of `Layout`.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


class Ranking(Struct, frozen=True, gc=False, cache_hash=True):
    """`member` of the sorted set `key` must have the size of the `sources` (sets) together as its score."""

    key: str
    member: str
    sources: tuple[str, ...]


class Mark(Struct, frozen=True, gc=False):
    """`member` of the sorted set `key` must have `score`; None: must not be there."""

    key: str
    member: str
    score: float | None


class Standing(Struct, frozen=True, gc=False):
    """What must be true outside the slot for a hash to be in place."""

    member: str = ""
    sets: tuple[str, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    marks: tuple[Mark, ...] = ()


class Change(Struct, frozen=True, gc=False):
    """One hash and all that follows from it.

    guard    field values the hash must still have (None as value: not have); None: there must be no hash
    fields   what the hash gets; `drop`: fields it loses; `remove`: the whole hash goes
    day      sets in the slot that the member joins and leaves
    marks    sorted-set entries in the slot
    tallies  (key, member, how many more or fewer), in the slot
    before   what stood outside until now; `after`: what stands there then. See `Standing`.
    gone     the fields of a hash that is removed, as far as they decide where it stood
    """

    slot: str
    key: str
    guard: dict[str, str | None] | None
    fields: dict[str, str]
    drop: tuple[str, ...] = ()
    remove: bool = False
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    tallies: tuple[tuple[str, str, int], ...] = ()
    before: Standing = Standing()
    after: Standing = Standing()
    gone: dict[str, str] = {}


class Layout(Protocol):
    """What an engine must know of the keys that it stores.

    months           the key of the set of slots
    standing_fields  fields of a hash that may change and that decide where it stands outside its slot
    """

    @property
    def months(self) -> str: ...

    @property
    def standing_fields(self) -> tuple[str, ...]: ...

    def outbox(self, slot: str) -> str:
        """The key of what is still to be done outside a slot."""
        ...

    def standing_of(self, key: str, fields: Mapping[str, str]) -> Standing:
        """What must stand outside for the hash at `key` as it is now; for one that is gone, nothing."""
        ...
