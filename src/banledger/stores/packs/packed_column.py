"""Columns of packs, read and asked. See `column_codec` for how they are stored. Pure."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain, compress, repeat
from operator import add, itemgetter, sub
from typing import TypeVar

from banledger.stores.packs import ipv4
from banledger.stores.packs.column import MOST_GROUPS, ColumnCells, Counts
from banledger.stores.packs.column_codec import CODED, COUNTS, NARROW, ORDERED, ROWS, DifferentCells
from banledger.stores.packs.masks import Mask, keep
from banledger.stores.packs.part import DamagedPack, PackPart
from banledger.stores.packs.passing import ColumnTest
from banledger.stores.packs.planes import numbers

_T = TypeVar("_T", int, str)

_ONE_BY_ONE = 24  # codes that are counted one by one; a Counter is faster with more


def decode_column(data: bytes, rows: int) -> ColumnCells:
    """Return the cells of a part. Raises DamagedPack, as all methods of what it returns do."""
    part = PackPart(data, (CODED, ORDERED))
    different = DifferentCells(part)
    if part.streams == ORDERED:
        return OrderedColumn(part, different, rows)
    if different.numbered + different.texted <= NARROW:
        return NarrowColumn(part, different, rows)
    return WideColumn(part, different, rows)


class _CodedColumn:
    """Rows with codes."""

    _codes_possible = 1 << 8

    def __init__(self, part: PackPart, different: DifferentCells, rows: int) -> None:
        self._part, self._different, self._rows = part, different, rows
        self._count = different.numbered + different.texted
        if not 1 <= self._count <= rows:
            raise DamagedPack("a column has an impossible number of cells")

    @property
    def _codes(self) -> Sequence[int]:
        """The code of each row."""
        raise NotImplementedError

    def may_pass(self, test: ColumnTest) -> bool:
        """See ColumnCells.may_pass."""
        return self._different.may_pass(test)

    def _table(self, test: ColumnTest) -> bytearray:
        """Return for each code whether its cell passes."""
        table = bytearray(self._codes_possible)
        for low, high in self._different.spans(test):
            table[low + 1 : high + 1] = b"\1" * (high - low)
        for place in self._different.places(test):
            table[self._different.numbered + place + 1] = 1
        return table

    def _counted(self, found: Mapping[int, int]) -> Counts:
        """Return the numbers of rows by cell. `found`: those by code."""
        addresses, known = self._different.addresses, self._different.numbered
        self._check(found)
        each = [0, *(self._different.lows if known else ())]
        rising = sorted([code for code in found if code <= known]) if known else []
        split = bisect_right(rising, addresses)
        texts = ["", *self._different.texts] if known < self._count else [""]
        return Counts(
            chain.from_iterable([repeat(each[code], found[code]) for code in rising[:split]]),
            chain.from_iterable([repeat(each[code], found[code]) for code in rising[split:]]),
            (),
            [(text, n) for code, n in found.items() if code > known and (text := texts[code - known])],
        )

    def _check(self, codes: Iterable[int]) -> None:
        """Raise DamagedPack if a code has no cell."""
        if max(codes, default=0) > self._count:
            raise DamagedPack("a column has a code without a cell")

    def cells(self) -> list[str]:
        """See ColumnCells.cells."""
        self._check(self._codes)
        each = ["", *map(ipv4.text_of, self._different.numbers), *self._different.texts]
        return list(map(each.__getitem__, self._codes))

    def values(self) -> list[int | str]:
        """See ColumnCells.values."""
        self._check(self._codes)
        each: list[int | str] = ["", *self._different.numbers, *self._different.texts]
        return list(map(each.__getitem__, self._codes))


class NarrowColumn(_CodedColumn):
    """Rows with codes of one byte, or with the same cell."""

    @cached_property
    def _codes(self) -> bytes:
        codes = self._part.stream(ROWS)
        if not codes and self._count == 1:
            return b"\1" * self._rows
        if len(codes) != self._rows or codes.translate(None, bytes(range(1, self._count + 1))):
            raise DamagedPack("a column has damaged codes")
        return codes

    def mask(self, test: ColumnTest) -> Mask:
        """See ColumnCells.mask."""
        table = self._table(test)
        return self._codes.translate(table) if 1 in table else bytes(self._rows)

    def counts(self, mask: Mask) -> Counts:
        """See ColumnCells.counts."""
        if self._count == 1:
            return self._counted({1: count} if (count := mask.count(1)) else {})
        if self._count > _ONE_BY_ONE:
            return self._counted(Counter(compress(self._codes, mask)))
        kept = keep(self._codes, mask)
        return self._counted({code: count for code in range(1, self._count + 1) if (count := kept.count(code))})

    def groups(self, mask: Mask) -> list[tuple[str, Mask]] | None:
        """See ColumnCells.groups."""
        each = [*map(ipv4.text_of, self._different.numbers), *self._different.texts]
        if self._count == 1:
            return [(each[0], mask)]
        kept = keep(self._codes, mask)
        found = set(kept) - {0}
        if len(found) > MOST_GROUPS:
            return None
        return [(each[code - 1], kept.translate(_only(code))) for code in found]


def _only(code: int) -> bytes:
    return bytes(code) + b"\1" + bytes(255 - code)


class WideColumn(_CodedColumn):
    """Rows with codes of two bytes."""

    _codes_possible = 1 << 16

    @cached_property
    def _codes(self) -> list[int]:
        data = self._part.stream(ROWS)
        if len(data) != 2 * self._rows:
            raise DamagedPack("a column has damaged codes")
        return numbers(data, 2).tolist()

    def mask(self, test: ColumnTest) -> Mask:
        """See ColumnCells.mask."""
        table = self._table(test)
        return bytes(itemgetter(*self._codes)(table)) if 1 in table else bytes(self._rows)

    def counts(self, mask: Mask) -> Counts:
        """See ColumnCells.counts."""
        different = self._different
        if different.addresses or (different.numbered and different.texted):
            return self._counted(Counter(compress(self._codes, mask)))
        codes = list(compress(self._codes, mask))
        self._check(codes)
        if different.numbered:
            return Counts((), map([0, *different.lows].__getitem__, sorted(codes)), (), ())
        each = map(["", *different.texts].__getitem__, codes)
        return Counts((), (), filter(None, each), ())

    def groups(self, mask: Mask) -> None:
        """See ColumnCells.groups: there are too many."""


class OrderedColumn:
    """Rows in the order of their cells."""

    def __init__(self, part: PackPart, different: DifferentCells, rows: int) -> None:
        self._part, self._different, self._rows = part, different, rows
        if not different.numbered <= rows > NARROW:
            raise DamagedPack("a column has an impossible number of rows")

    @cached_property
    def _ends(self) -> list[int]:
        """Where the rows of the numbers end, and those of each text."""
        counts = self._part.stream(COUNTS)
        ends = list(accumulate(map(add, numbers(counts, 2), repeat(1)), initial=self._different.numbered))
        if len(counts) != 2 * self._different.texted or ends[-1] != self._rows:
            raise DamagedPack("a column has an impossible number of rows")
        return ends

    @cached_property
    def _order(self) -> list[int]:
        """The rows in the order of their cells."""
        data = self._part.stream(ROWS)
        if len(data) != 2 * self._rows:
            raise DamagedPack("a column has an impossible number of rows")
        order = numbers(data, 2).tolist()
        whole = bytes(range(self._rows >> 8))  # high bytes with which no low byte is too large
        if data[self._rows :].translate(None, whole) and max(order) >= self._rows:
            raise DamagedPack("a column has a row that the pack lacks")
        return order

    def may_pass(self, test: ColumnTest) -> bool:
        """See ColumnCells.may_pass."""
        return self._different.may_pass(test)

    def mask(self, test: ColumnTest) -> Mask:
        """See ColumnCells.mask."""
        spans = list(self._different.spans(test))
        spans += [(self._ends[place], self._ends[place + 1]) for place in self._different.places(test)]
        mask = bytearray(self._rows)
        for low, high in spans:
            for row in self._order[low:high]:
                mask[row] = 1
        return bytes(mask)

    def counts(self, mask: Mask) -> Counts:
        """See ColumnCells.counts."""
        split, known = self._different.addresses, self._different.numbered
        if 0 not in mask:
            texts = zip(self._different.texts, map(sub, self._ends[1:], self._ends), strict=True)
            lows = self._different.lows
            return Counts(lows[:split], lows[split:], (), [found for found in texts if found[0]])
        passing = bytes(itemgetter(*self._order)(mask))
        return Counts(
            compress(self._different.lows[:split], passing),
            compress(self._different.lows[split:], passing[split:known]),
            (),
            self._texts(passing) if known < self._rows else (),
        )

    def _texts(self, passing: bytes) -> list[tuple[str, int]]:
        """Return the number of rows that pass by text. `passing`: the mask in the order of cells."""
        upto = itemgetter(*self._ends, 0)(list(accumulate(passing, initial=0)))[:-1]
        counts = map(sub, upto[1:], upto)
        return [found for found in zip(self._different.texts, counts, strict=True) if found[1] and found[0]]

    def groups(self, mask: Mask) -> None:
        """See ColumnCells.groups: there are too many."""

    def cells(self) -> list[str]:
        """See ColumnCells.cells."""
        return self._spread(map(ipv4.text_of, self._different.numbers))

    def values(self) -> list[int | str]:
        """See ColumnCells.values."""
        return self._spread(self._different.numbers)

    def _spread(self, numbered: Iterable[_T]) -> list[_T | str]:
        """Return the cell of each row. `numbered`: the cells that have numbers, in their order."""
        ends = self._ends
        texts = map(repeat, self._different.texts, map(sub, ends[1:], ends))
        cells: list[_T | str] = [""] * self._rows
        in_order: Iterable[_T | str] = chain(numbered, *texts)
        for row, cell in zip(self._order, in_order, strict=True):
            cells[row] = cell
        return cells
