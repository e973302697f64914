"""What a write to a store consists of: the hash, and the entries that follow from it."""

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
