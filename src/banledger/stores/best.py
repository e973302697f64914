"""Find the tokens with most rows. Pure."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import compress, islice
from operator import eq
from typing import TypeVar

from banledger.stores.selection import Rank

_K = TypeVar("_K", bound=Hashable)

_SAMPLE = 4096
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
        self._keep(likely, text)

    def add_each(self, keys: Iterable[int], text: Callable[[int], str]) -> None:
        """Add a row for each of `keys`. Each token is in one call."""
        listed = list(keys)
        if self._most is not None and _mostly_different(listed):
            self._add_rising(sorted(listed), text)
        else:
            self.add(Counter(listed), text)

    def _add_rising(self, keys: Sequence[int], text: Callable[[int], str]) -> None:
        """Count neighbours. Faster than counting each token where most of them have one row, and few are wanted."""
        self._counted += len(keys)
        self._distinct += len(keys) - sum(map(eq, keys, islice(keys, 1, None)))
        if self._most == 0:
            return
        least = max(self._bar, 1)
        likely = _again(keys, least - 1)
        while self._most and len(likely) > 8 * self._most + _SPARE:
            fewer = _again(likely, least)  # whose count is at least twice `least`
            if len(set(fewer)) < self._most:
                break
            least, likely = 2 * least, fewer
        self._keep([(count + least - 1, key) for key, count in Counter(likely).items()], text)

    def _keep(self, likely: Iterable[tuple[int, _K]], text: Callable[[_K], str]) -> None:
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


def _mostly_different(keys: Sequence[int]) -> bool:
    """Whether most tokens have one row, by a sample: where they have two, 1.6 % of it occur again."""
    sample = keys[:: max(1, len(keys) // _SAMPLE)]
    return len(sample) - len(set(sample)) <= len(sample) // 64


def _again(keys: Sequence[int], more: int) -> Sequence[int]:
    """Return each of some rising keys as often as it occurs, less `more` times."""
    return list(compress(keys, map(eq, keys, islice(keys, more, None)))) if more else keys


def rank_of(table: Mapping[str, int], most: int | None) -> Rank:
    """Return the rank of a column from the rows of each of its tokens."""
    best = Best(most)
    best.add(table, str)
    return best.rank()
