"""What is wrong with a ledger, and how it is told: by key, with the first names of many."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

_MOD = 1 << 64


class Fault(Struct, frozen=True):
    """A key that is not what its hashes say."""

    key: str
    what: str


class StaleHash(Fault, frozen=True):
    """A hash as an earlier version recorded it. Sets and rankings follow it; a faithful copy has it too."""


class Sketch:
    """A collection as its size and an order-free fingerprint."""

    __slots__ = ("mark", "size")

    def __init__(self) -> None:
        self.size = self.mark = 0

    def add(self, item: object) -> None:
        """One more."""
        self.size += 1
        self.mark = (self.mark + hash(item)) % _MOD

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and (self.size, self.mark) == (other.size, other.mark)


class _Names:
    """How many names, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self._first) < 3:
            self._first.append(name)

    def __str__(self) -> str:
        more = self.count - len(self._first)
        return ", ".join(map(repr, self._first)) + (f" and {more:,} more" if more else "")


class Differences:
    """What a key lacks, has too much, and scores wrongly."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._names: dict[str, _Names] = defaultdict(_Names)

    def lacks(self, name: str) -> None:
        """It must have this one."""
        self._names["lacks"].add(name)

    def dangles(self, name: str) -> None:
        """It must not."""
        self._names["should not have"].add(name)

    def wrong(self, name: str) -> None:
        """It must have another score for this one."""
        self._names["has a wrong score for"].add(name)

    def faults(self) -> Iterator[Fault]:
        """One for each kind."""
        for what, names in self._names.items():
            yield Fault(self.key, f"{what} {names}")


def compare(key: str, expected: Mapping[str, float], actual: Mapping[str, float]) -> Iterator[Fault]:
    """A sorted set, or a set whose members all have one score."""
    if expected == actual:
        return
    differences = Differences(key)
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            differences.lacks(name)
        elif name not in expected:
            differences.dangles(name)
        elif expected[name] != actual[name]:
            differences.wrong(name)
    yield from differences.faults()
