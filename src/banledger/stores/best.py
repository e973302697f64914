"""Find the tokens with most rows. Pure."""

from collections.abc import Callable, Hashable, Mapping
from heapq import nlargest
from typing import TypeVar

from banledger.stores.selection import Rank

_K = TypeVar("_K", bound=Hashable)

_SPARE = 1000  # tokens beyond those that are wanted, before they are sorted out


class Best:
    """The tokens with most rows, of any number of tables. `most`: how many; None: all. Each token is added once."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._bar = 0
        self._found: list[tuple[int, str]] = []
        self._distinct = self._counted = 0

    def add(self, counts: Mapping[_K, int], text: Callable[[_K], str]) -> None:
        """Add tokens. `text` returns the token of a key of `counts`."""
        self._distinct += len(counts)
        self._counted += sum(counts.values())
        if self._most == 0:
            return
        likely = [(count, key) for key, count in counts.items() if count >= self._bar]
        if self._most and len(likely) > self._most + _SPARE:
            self._bar = nlargest(self._most, counts.values())[-1]
            likely = [one for one in likely if one[0] >= self._bar]
        self._found += [(count, text(key)) for count, key in likely]
        if self._most and len(self._found) > 2 * self._most + _SPARE:
            self._cut()
            self._bar = max(self._bar, self._found[-1][0])

    def _cut(self) -> None:
        self._found.sort(reverse=True)
        if self._most is not None:
            del self._found[self._most :]

    def rank(self) -> Rank:
        """Return what was found."""
        self._cut()
        return Rank(tuple([(token, count) for count, token in self._found]), self._distinct, self._counted)


def rank_of(table: Mapping[str, int], most: int | None) -> Rank:
    """Return the rank of a column from the rows of each of its tokens."""
    best = Best(most)
    best.add(table, str)
    return best.rank()
