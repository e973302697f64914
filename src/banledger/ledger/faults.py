"""Faults of a ledger: by key, with the first few names."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

_MOD = 1 << 64


class Fault(Struct, frozen=True):
    """A key that differs from the hashes."""

    key: str
    what: str


class StaleHash(Fault, frozen=True):
    """A hash in an outdated form of an earlier version. Its entries match it, and copies have it too."""


class Sketch:
    """The size of a collection, and a fingerprint that does not depend on its order."""

    __slots__ = ("mark", "size")

    def __init__(self) -> None:
        self.size = self.mark = 0

    def add(self, item: object, times: int = 1) -> None:
        """Add an item, so many times."""
        self.size += times
        self.mark = (self.mark + times * hash(item)) % _MOD

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and (self.size, self.mark) == (other.size, other.mark)


class _Names:
    """A number of names, and the first of them."""

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
    """The missing members, the surplus members and the wrong scores of a key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._names: dict[str, _Names] = defaultdict(_Names)

    def lacks(self, name: str) -> None:
        """Note a missing member."""
        self._names["lacks"].add(name)

    def dangles(self, name: str) -> None:
        """Note a surplus member."""
        self._names["should not have"].add(name)

    def wrong(self, name: str) -> None:
        """Note a member with a wrong score."""
        self._names["has a wrong score for"].add(name)

    def faults(self) -> Iterator[Fault]:
        """Return one fault for each kind of difference."""
        for what, names in self._names.items():
            yield Fault(self.key, f"{what} {names}")


def compare(key: str, expected: Mapping[str, float], actual: Mapping[str, float]) -> Iterator[Fault]:
    """Compare the members of a sorted set, or of a set whose members all have the same score."""
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
