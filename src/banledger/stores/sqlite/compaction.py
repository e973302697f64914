"""When recent rows become part of packs. Pure.

Theory of operation. Packs divide time: a row belongs to the first pack whose last row is not before it, and rows after
all packs belong to none. A *fold* makes a new pack of the oldest rows after all packs, and leaves the newest ones as
they are, because those are amended soon. A *merge* writes one pack again, with the recent rows that belong to it: late,
amended and removed ones.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, TypeAlias

from msgspec import Struct

from banledger.stores.packs.pack import PACK_ROWS


class Limits(Struct, frozen=True):
    """Numbers of rows.

    pack    rows of a pack, at most
    recent  recent rows up to which nothing is done
    worth   recent rows for which a pack is written again
    most    recent rows beyond which packs are written again for fewer than `worth`. Questions read all recent rows
            into memory, some 1.2 kB each
    look    rows that are written before the next decision
    """

    pack: int = PACK_ROWS
    recent: int = 2 * PACK_ROWS
    worth: int = 1024
    most: int = 4 * PACK_ROWS
    look: int = 2048


LIMITS = Limits()


class Fold(Struct, frozen=True):
    """Make a new pack of the `size` recent rows from `first` to `last`."""

    first: bytes
    last: bytes
    size: int


class Merge(Struct, frozen=True):
    """Write the pack with this number again, with the `size` recent rows from `first` to `last`."""

    number: int
    first: bytes
    last: bytes
    size: int


Step: TypeAlias = Fold | Merge


class UnpackedRows(Protocol):
    """The recent rows by their packed ids.

    total  how many there are
    after  how many of them are after all packs
    """

    total: int
    after: int

    def after_packs(self, place: int) -> bytes:
        """Return the id at that place, from 0, among those after all packs."""
        ...

    def within_packs(self) -> Sequence[bytes]:
        """Return all other ids, sorted."""
        ...


def next_step(recent: UnpackedRows, packs: Sequence[tuple[int, bytes]], limits: Limits = LIMITS) -> Step | None:
    """Return what to do next; None: nothing. `packs`: number and last id of each pack, sorted by that."""
    if recent.total <= limits.recent:
        return None
    if recent.after >= limits.recent:
        return Fold(recent.after_packs(0), recent.after_packs(limits.pack - 1), limits.pack)
    if recent.after == recent.total:
        return None
    ids, highs = recent.within_packs(), [high for _, high in packs]
    ((pack, size),) = Counter(bisect_left(highs, id_) for id_ in ids).most_common(1)
    if size < limits.worth and recent.total <= limits.most:
        return None
    first = bisect_right(ids, highs[pack - 1]) if pack else 0
    return Merge(packs[pack][0], ids[first], ids[first + size - 1], size)


def in_packs(count: int, limits: Limits = LIMITS) -> list[range]:
    """Divide `count` rows into packs of about the same size."""
    packs = max(1, -(-count // limits.pack))
    bounds = [count * pack // packs for pack in range(packs + 1)]
    return [range(low, high) for low, high in pairwise(bounds) if low < high]
