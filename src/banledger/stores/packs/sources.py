"""What rows are read from: recent rows and packs, and which of their rows pass a selection. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property
from itertools import chain
from typing import Protocol

from msgspec import Struct

from banledger.stores.packs.column import ColumnCells, RecentColumn
from banledger.stores.packs.masks import Mask, between, both, either
from banledger.stores.packs.pack import AFTER_ALL, BEFORE_ALL, PACK_ROWS, Key, Pack, lowest_key
from banledger.stores.packs.passing import ColumnTest, test_of
from banledger.stores.selection import Column, Condition, Selection


class Recent(Struct, frozen=True):
    """Rows in memory, sorted by key, each with its cells as one text: with line feeds between."""

    rows: Sequence[tuple[Key, str]]


class Packed(Struct, frozen=True):
    """A pack, without the rows that are hidden.

    low, high  its first and last key. Packs do not overlap. Only packs that may have a selected row are loaded
    hidden     keys of rows that are removed, or out of date because a recent row has the same key
    """

    pack: Pack
    low: Key
    high: Key
    hidden: Set[Key] = frozenset()


class Rows(Protocol):
    """Some rows, column by column."""

    rows: int

    def keys(self) -> list[Key]:
        """Return the keys in their order."""
        ...

    def column(self, number: int) -> ColumnCells:
        """Return the cells of a column by its place among the columns."""
        ...


class RecentRows:
    """Rows in memory as columns."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[tuple[Key, str]]) -> None:
        self.rows = len(rows)
        self._columns = columns
        self._rows = rows

    @cached_property
    def _cells(self) -> list[str]:
        """All cells, row by row."""
        return "\n".join([cells for _, cells in self._rows]).split("\n")

    def keys(self) -> list[Key]:
        """See Rows.keys."""
        return [key for key, _ in self._rows]

    def column(self, number: int) -> RecentColumn:
        """See Rows.column."""
        return RecentColumn(self._cells[number :: len(self._columns)], several=self._columns[number].several)


class RowSource(Struct, frozen=True):
    """Rows from a first to a last key, without those that are hidden."""

    rows: Rows
    low: Key
    high: Key
    hidden: Set[Key] = frozenset()


class Passing:
    """Those rows of a source that pass. Reads a column when it is first needed."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._columns: dict[int, ColumnCells] = {}
        self.mask: Mask = b"\1" * rows.rows
        self._restricted = False

    def column(self, number: int) -> ColumnCells:
        """Return the cells of a column."""
        if number not in self._columns:
            self._columns[number] = self._rows.column(number)
        return self._columns[number]

    def restrict(self, mask: Mask) -> bool:
        """Let only rows pass that pass `mask` too. Returns whether any are left."""
        self.mask = both([self.mask, mask]) if self._restricted else mask
        self._restricted = True
        return 1 in self.mask


class RowSieve:
    """Finds the rows that pass a selection."""

    def __init__(self, columns: Sequence[Column], selection: Selection) -> None:
        self._columns = columns
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._low = BEFORE_ALL if selection.since is None else lowest_key(selection.since)
        self._high = AFTER_ALL if selection.until is None else lowest_key(selection.until)
        groups = [[self._test(condition) for condition in group] for group in selection.all_of]
        self._groups = sorted(groups, key=lambda tests: any(columns[place].several for place, _ in tests))

    def _test(self, condition: Condition) -> tuple[int, ColumnTest]:
        """Return the place of a condition's column, and its test."""
        place = self._places[condition.column]
        return place, test_of(condition, several=self._columns[place].several)

    def sources(self, given: Iterable[Recent | Packed]) -> list[RowSource]:
        """Return the sources inside the selection's time. Recent rows are split into pieces as large as a pack."""
        found = chain.from_iterable(map(self._split, given))
        return [source for source in found if source.high >= self._low and source.low < self._high]

    def _split(self, given: Recent | Packed) -> Iterator[RowSource]:
        if isinstance(given, Packed):
            yield RowSource(given.pack, given.low, given.high, given.hidden)
            return
        for start in range(0, len(given.rows), PACK_ROWS):
            rows = given.rows[start : start + PACK_ROWS]
            yield RowSource(RecentRows(self._columns, rows), rows[0][0], rows[-1][0])

    def passing(self, source: RowSource) -> Passing | None:
        """Return the rows that pass; None: there are none."""
        passing = Passing(source.rows)
        for tests in self._groups:
            if not any(passing.column(place).may_pass(test) for place, test in tests):
                return None
        for tests in self._groups:
            if not passing.restrict(either([passing.column(place).mask(test) for place, test in tests])):
                return None
        within = source.low >= self._low and source.high < self._high
        if (source.hidden or not within) and not passing.restrict(self._visible(source)):
            return None
        return passing

    def _visible(self, source: RowSource) -> Mask:
        """Return which rows are inside the selection's time and not hidden."""
        keys = source.rows.keys()
        mask = bytearray(between(bisect_left(keys, self._low), bisect_left(keys, self._high), len(keys)))
        for key in source.hidden:
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                mask[place] = 0
        return bytes(mask)
