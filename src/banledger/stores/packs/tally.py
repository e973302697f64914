"""Count the tokens of many rows in bounded memory. Pure.

What does not fit is left for another pass over the rows: a counter keeps the smaller tokens, counts them, and then
asks for the rows again to count the others. So no answer is an estimate.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from msgspec import Struct

from banledger.stores.best import Best
from banledger.stores.packs import ipv4
from banledger.stores.packs.column import Counts
from banledger.stores.selection import Rank


class Room(Struct, frozen=True):
    """How much is kept in memory at once.

    addresses  rows with an IPv4 address, 4 bytes each
    networks   rows with an IPv4 network, 4 bytes each
    tokens     other tokens of a column, some 150 bytes each
    pairs      pairs of tokens, some 300 bytes each
    """

    addresses: int = 12_000_000
    networks: int = 6_000_000
    tokens: int = 200_000
    pairs: int = 100_000


_AT_ONCE = 131_072  # addresses that are counted at once
_SAMPLE = 64
_END = 1 << 32

_K = TypeVar("_K", bound=Hashable)


class TokenCounts(Generic[_K]):
    """The number of rows by key, as many keys as fit. Keys can be compared with each other.

    `complete`: after `take`, whether no keys are left for another pass. Then nothing more is added.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._low: Any = None
        self._high: Any = None
        self._counts: Counter[_K] = Counter()
        self.complete = False

    def add(self, items: Iterable[tuple[_K, int]]) -> None:
        """Add rows by key."""
        counts, get = self._counts, self._counts.get
        if self.complete:
            return
        if self._low is not None or self._high is not None:
            items = filter(self._fits, items)
        for key, count in items:
            counts[key] = get(key, 0) + count
        self._narrow()

    def add_each(self, keys: Iterable[_K]) -> None:
        """Add rows, one for each time that a key is given."""
        if self.complete or self._low is not None or self._high is not None:
            self.add(Counter(keys).items())
            return
        self._counts.update(keys)
        self._narrow()

    def _narrow(self) -> None:
        """Leave the greater half of the keys for another pass if there are too many."""
        if len(self._counts) > self._most:
            keys = sorted(self._counts)  # type: ignore[type-var]
            self._high = keys[len(keys) // 2]
            for key in keys[len(keys) // 2 :]:
                del self._counts[key]

    def _fits(self, item: tuple[Any, int]) -> bool:
        return (self._low is None or self._low <= item[0]) and (self._high is None or item[0] < self._high)

    def take(self) -> dict[_K, int]:
        """Return what was counted, and begin with the next keys."""
        counts, self._counts = self._counts, Counter()
        self._low, self._high = self._high, None
        self.complete = self._low is None
        return counts


class NumberCounts:
    """Rows with a number of 32 bits, as many as fit. `complete`: see TokenCounts."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._low, self._high = 0, _END
        self._held = 0
        self._runs: list[array[int]] = []
        self.complete = False

    def add(self, rising: Iterable[int]) -> None:
        """Add the number of each of some rows."""
        run = self._fitting(array("I", () if self.complete else rising))
        if not run:
            return
        self._runs.append(run)
        self._held += len(run)
        while self._held > self._most and self._high - self._low > 1:
            sample = _sample(self._runs)
            middle = sample[len(sample) // 2]
            if middle >= self._high:  # damaged runs do not rise
                middle = (self._low + self._high) // 2
            self._high = max(middle, self._low + 1)
            self._runs = list(filter(None, map(self._fitting, self._runs)))
            self._held = sum(map(len, self._runs))

    def _fitting(self, run: "array[int]") -> "array[int]":
        if self._low == 0 and self._high == _END:
            return run[:]  # without room for more
        return run[bisect_left(run, self._low) : bisect_left(run, self._high)]

    def take(self) -> Iterator[Iterator[int]]:
        """Return the numbers, in parts, and begin with the next ones. Equal ones are in the same part."""
        runs, self._runs, self._held = self._runs, [], 0
        self.complete = self._high == _END
        self._low, self._high = self._high, _END
        return in_parts(runs)


def in_parts(runs: "Sequence[array[int]]") -> Iterator[Iterator[int]]:
    """Return the numbers of runs of rising ones, in parts of a bounded size. Equal numbers are in the same part."""
    ends = sorted(set(_sample(runs)[_AT_ONCE // _SAMPLE :: _AT_ONCE // _SAMPLE]))
    at = [0] * len(runs)
    for end in [*ends, _END]:
        upto = [bisect_left(run, end, place) for run, place in zip(runs, at, strict=True)]
        yield chain.from_iterable([run[a:b] for run, a, b in zip(runs, at, upto, strict=True) if a < b])
        at = upto


def _sample(runs: "Sequence[array[int]]") -> list[int]:
    return sorted(chain.from_iterable([run[_SAMPLE // 2 :: _SAMPLE] or run[:1] for run in runs]))


class Tally:
    """The rank of a column. `several`: a cell may hold several tokens."""

    def __init__(self, most: int | None, room: Room, *, several: bool) -> None:
        self._several = several
        self._best = Best(most)
        self._addresses = NumberCounts(room.addresses)
        self._networks = NumberCounts(room.networks)
        self._texts: TokenCounts[str] = TokenCounts(room.tokens)

    def add(self, counts: Counts) -> None:
        """Add rows."""
        self._addresses.add(counts.addresses)
        self._networks.add(counts.networks)
        if self._several:
            self._texts.add(tokens(chain(Counter(counts.texts).items(), counts.counted)))
        else:
            self._texts.add_each(counts.texts)
            self._texts.add(counts.counted)

    def end_pass(self) -> bool:
        """Count what was added. Returns whether all tokens are counted; if not, all rows are to be added again."""
        for part in self._addresses.take():
            self._best.add_each(part, ipv4.text_of)
        for part in self._networks.take():
            self._best.add_each(part, ipv4.network_text)
        self._best.add(self._texts.take(), str)
        return self._addresses.complete and self._networks.complete and self._texts.complete

    def rank(self) -> Rank:
        """Return the rank, when all tokens are counted."""
        return self._best.rank()


def tokens(cells: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Return the tokens of cells that may hold several, each with the rows of its cell."""
    for cell, count in cells:
        if " " in cell:
            for token in set(cell.split()):
                yield token, count
        else:
            yield cell, count
