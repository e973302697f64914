"""Conditions as tests of cells: of one cell, and of many sorted ones at once. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Protocol

from banledger.net.prefix import Block, block
from banledger.stores.conditions import CellTest, cell_test
from banledger.stores.packs import ipv4
from banledger.stores.selection import Between, Condition, Is, Within


class ColumnTest(Protocol):
    """Which cells pass a condition."""

    @property
    def passes(self) -> CellTest:
        """The test of one cell."""
        ...

    def spans(self, numbers: Sequence[int], without: int = 0) -> Sequence[tuple[int, int]]:
        """Return from where to where (excluded) rising numbers of cells pass, see `ipv4`.

        `without`: the numbers lack as many low bits. Then those that may pass.
        """
        ...

    def may_pass(self, texts: bytes) -> bool:
        """Whether any of the cells in `texts` may pass: a quick look before they are split."""
        ...

    def places(self, texts: Sequence[str]) -> Iterable[int]:
        """Return the places of the cells that pass; `texts` is sorted."""
        ...


def test_of(condition: Condition, *, several: bool) -> ColumnTest:
    """Return the test of a condition. `several`: cells of its column may hold several tokens."""
    passes = cell_test(condition, several=several)
    if isinstance(condition, Is):
        return (_IsAny if several else _Is)(passes, condition.tokens - {""})
    if several:
        return _Each(passes)
    if isinstance(condition, Within):
        return _Within(passes, block(condition.cidr))
    return _Between(passes, condition)


class _Each:
    """Cells that pass one by one."""

    def __init__(self, passes: CellTest) -> None:
        self.passes = passes

    def spans(self, numbers: Sequence[int], without: int = 0) -> Sequence[tuple[int, int]]:
        if without:
            return [(0, len(numbers))]
        return [(place, place + 1) for place, number in enumerate(numbers) if self.passes(ipv4.text_of(number))]

    def may_pass(self, texts: bytes) -> bool:
        return bool(texts)

    def places(self, texts: Sequence[str]) -> Iterable[int]:
        return [place for place, cell in enumerate(texts) if self.passes(cell)]


class _Is(_Each):
    """Cells that are one of some tokens."""

    def __init__(self, passes: CellTest, tokens: frozenset[str]) -> None:
        super().__init__(passes)
        self._tokens = tokens
        self._numbers = [number for token in tokens if (number := ipv4.number_of(token)) is not None]
        self._raw = [token.encode("utf-8", "surrogatepass") for token in tokens]

    def spans(self, numbers: Sequence[int], without: int = 0) -> list[tuple[int, int]]:
        return _spans(numbers, [(number >> without, number >> without) for number in self._numbers])

    def may_pass(self, texts: bytes) -> bool:
        return any(raw in texts for raw in self._raw)

    def places(self, texts: Sequence[str]) -> Iterable[int]:
        found = [(bisect_left(texts, token), token) for token in self._tokens]
        return [place for place, token in found if place < len(texts) and texts[place] == token]


class _IsAny(_Is):
    """Cells that hold one of some tokens, among others."""

    def places(self, texts: Sequence[str]) -> Iterable[int]:
        if len(self._tokens) != 1:
            return [place for place, cell in enumerate(texts) if self.passes(cell)]
        (token,) = self._tokens
        return [place for place, cell in enumerate(texts) if token in cell and token in cell.split()]


class _Between(_Each):
    """Cells between two texts."""

    def __init__(self, passes: CellTest, bounds: Between) -> None:
        super().__init__(passes)
        self._low, self._high = bounds.low or "", bounds.high

    def places(self, texts: Sequence[str]) -> Iterable[int]:
        low = bisect_left(texts, self._low) if self._low else bisect_right(texts, "")
        return range(low, len(texts) if self._high is None else bisect_right(texts, self._high))


class _Within(_Each):
    """Cells inside a network."""

    def __init__(self, passes: CellTest, network: Block) -> None:
        super().__init__(passes)
        self._network = network
        groups = [f"{network.first >> shift & 0xFFFF:x}:" for shift in (112, 96)]
        known = 0 if network.version == 4 else network.prefix // 16
        self._head = "".join(groups[:known]) if "0:" not in groups[:known] else ""

    def spans(self, numbers: Sequence[int], without: int = 0) -> list[tuple[int, int]]:
        if self._network.version != 4:
            return []
        ranges = ipv4.ranges(self._network)
        return _spans(numbers, [(low >> without, high >> without) for low, high in ranges])

    def may_pass(self, texts: bytes) -> bool:
        return self._network.version == 6 and (self._head or ":").encode() in texts

    def places(self, texts: Sequence[str]) -> Iterable[int]:
        head = self._head
        return [place for place, cell in enumerate(texts) if cell.startswith(head) and self.passes(cell)]


def _spans(numbers: Sequence[int], ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return from where to where (excluded) rising numbers are in ranges, whose ends are included."""
    found = [(bisect_left(numbers, low), bisect_right(numbers, high)) for low, high in ranges]
    return [(low, high) for low, high in found if low < high]
