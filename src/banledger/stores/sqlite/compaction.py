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
from typing import TypeAlias

from msgspec import Struct

from banledger.stores.packs.pack import PACK_ROWS

RECENT_ROWS = 2 * PACK_ROWS
"""Up to so many recent rows nothing is done."""

_WORTHWHILE = 1024  # recent rows for which a pack is written again
_MOST_RECENT = 16 * PACK_ROWS  # beyond, a pack is written again for fewer


class Fold(Struct, frozen=True):
    """Make a new pack of the recent rows from `first` to `last`, `size` ones."""

    first: bytes
    last: bytes
    size: int


class Merge(Struct, frozen=True):
    """Write the pack with this number again, with the recent rows from `first` to `last`, `size` ones."""

    number: int
    first: bytes
    last: bytes
    size: int


Step: TypeAlias = Fold | Merge


def next_step(recent: Sequence[bytes], packs: Sequence[tuple[int, bytes]]) -> Step | None:
    """Return what to do next; None: nothing.

    recent  packed ids of the recent rows, sorted
    packs   number and last id of each pack, sorted by that
    """
    if len(recent) <= RECENT_ROWS:
        return None
    highs = [high for _, high in packs]
    after = bisect_right(recent, highs[-1]) if highs else 0
    if len(recent) - after >= RECENT_ROWS:
        return Fold(recent[after], recent[after + PACK_ROWS - 1], PACK_ROWS)
    if not after:
        return None
    ((pack, size),) = Counter(bisect_left(highs, id_) for id_ in recent[:after]).most_common(1)
    if size < _WORTHWHILE and len(recent) <= _MOST_RECENT:
        return None
    first = bisect_right(recent, highs[pack - 1]) if pack else 0
    return Merge(packs[pack][0], recent[first], recent[first + size - 1], size)


def in_packs(count: int) -> list[range]:
    """Divide so many rows into packs of about the same size."""
    parts = -(-count // PACK_ROWS)
    bounds = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]
