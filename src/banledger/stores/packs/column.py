"""The cells of some rows in one column, and what is asked of them. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import NamedTuple, Protocol

from banledger.stores.packs import ipv4
from banledger.stores.packs.masks import Mask
from banledger.stores.packs.passing import ColumnTest

MOST_GROUPS = 8
"""With more different cells, rows are not grouped by masks."""


class Counts(NamedTuple):
    """How many rows have which cell, in the form that is at hand. Rows with an empty cell are not counted.

    addresses  IPv4 addresses as numbers, rising, one for each row
    networks   the 32 low bits of the numbers of IPv4 networks, rising, one for each row
    texts      other cells, one for each row
    counted    further cells that are texts, with their number of rows
    """

    addresses: Iterable[int]
    networks: Iterable[int]
    texts: Iterable[str]
    counted: Iterable[tuple[str, int]]


class ColumnCells(Protocol):
    """The cells of some rows in one column."""

    def may_pass(self, test: ColumnTest) -> bool:
        """Return whether any row may pass: a quick look before `mask`."""
        ...

    def mask(self, test: ColumnTest) -> Mask:
        """Return which rows pass."""
        ...

    def counts(self, mask: Mask) -> Counts:
        """Count the cells of the rows that pass."""
        ...

    def groups(self, mask: Mask) -> list[tuple[str, Mask]] | None:
        """Return the rows that pass by their cell; None: there are more than MOST_GROUPS different cells."""
        ...

    def cells(self) -> list[str]:
        """Return the cell of each row."""
        ...

    def values(self) -> list[int | str]:
        """Return the cell of each row; canonical IPv4 addresses and networks as their numbers, see `ipv4`."""
        ...


class RecentColumn:
    """The cells of rows in memory. `several`: a cell may hold several tokens."""

    def __init__(self, cells: Sequence[str], *, several: bool) -> None:
        self._cells = cells
        self._several = several

    def may_pass(self, test: ColumnTest) -> bool:
        """See ColumnCells.may_pass. All cells must be looked at."""
        return True

    def mask(self, test: ColumnTest) -> Mask:
        """See ColumnCells.mask."""
        passing = set(filter(test.passes, set(self._cells)))
        return bytes(map(passing.__contains__, self._cells))

    def counts(self, mask: Mask) -> Counts:
        """See ColumnCells.counts."""
        found = Counter(compress(self._cells, mask))
        numbers = {} if self._several else {cell: n for cell in found if (n := ipv4.number_of(cell)) is not None}
        each = sorted([number for cell, number in numbers.items() for _ in range(found.pop(cell))])
        split = bisect_left(each, ipv4.NETWORKS)
        networks = [number - ipv4.NETWORKS for number in each[split:]]
        return Counts(each[:split], networks, (), [(text, count) for text, count in found.items() if text])

    def groups(self, mask: Mask) -> list[tuple[str, Mask]] | None:
        """See ColumnCells.groups."""
        found = set(compress(self._cells, mask))
        if len(found) > MOST_GROUPS:
            return None
        return [(cell, bytes([a == cell and b for a, b in zip(self._cells, mask, strict=True)])) for cell in found]

    def cells(self) -> list[str]:
        """See ColumnCells.cells."""
        return list(self._cells)

    def values(self) -> list[int | str]:
        """See ColumnCells.values."""
        numbers = {} if self._several else {cell: ipv4.number_of(cell) for cell in set(self._cells)}
        return [cell if (number := numbers.get(cell)) is None else number for cell in self._cells]
