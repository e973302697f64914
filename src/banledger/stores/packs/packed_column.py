"""The cells of one column of a pack. Pure.

The different cells stand once, sorted: canonical IPv4 addresses and networks as numbers, all others as texts. With up
to 255 of them, each row has a code of one byte: the place of its cell, from 1. With more, the rows stand in the order
of their cells: then a network is a range of rows, and rows with equal cells stand side by side.

    stream 0  the three high bytes of the numbers; of rows in the order of their cells: one number for each row
    stream 1  their two low bytes. Most packs without an address are known by stream 0
    stream 2  the texts, each after a line feed
    stream 3  the codes; or nothing, if all cells are equal; or, of rows in the order of their cells, for each text the
              number of its rows less one, and the rows (two bytes each)
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, chain, compress, repeat
from operator import add, itemgetter, sub
from typing import TypeVar

from banledger.stores.packs import ipv4
from banledger.stores.packs.column import MOST_GROUPS, ColumnCells, Counts, counts_of
from banledger.stores.packs.masks import Mask, keep
from banledger.stores.packs.part import DamagedPack, Part, join
from banledger.stores.packs.passing import CellTest
from banledger.stores.packs.planes import numbers, planes

_T = TypeVar("_T", int, str)

_HIGH, _LOW, _TEXTS, _ROWS = range(4)
_CODES = 255
_ONE_BY_ONE = 24  # codes that are counted one by one; a Counter is faster with more
_LOW_BYTES, _HIGH_BYTES = 2, 3  # of a number
_LOW_BITS = 8 * _LOW_BYTES
_WIDTH = _LOW_BYTES + _HIGH_BYTES
_HOST_BITS = bytes(range(33))  # what the highest byte of a number may be


def encode_column(cells: Sequence[str], *, several: bool) -> bytes:
    """Return the part of a column. `several`: a cell may hold several tokens.

    Raises ValueError if a cell has a line feed, or if the cells are too long together.
    """
    where: dict[str, list[int]] = defaultdict(list)
    for row, cell in enumerate(cells):
        where[cell].append(row)
    numbered = {} if several else {cell: n for cell in where if (n := ipv4.number_of(cell)) is not None}
    texts = sorted(where.keys() - numbered.keys())
    text = "".join([f"\n{cell}" for cell in texts]).encode("utf-8", "surrogatepass")
    if text.count(b"\n") != len(texts):
        raise ValueError("a cell has a line feed")
    order = [*sorted(numbered, key=numbered.__getitem__), *texts]
    rows = [where[cell] for cell in order]
    if len(order) <= _CODES:
        return join([*_split(sorted(numbered.values())), text, _codes(len(cells), rows)])
    each = sorted([number for cell, number in numbered.items() for _ in where[cell]])
    more = planes([len(where[cell]) - 1 for cell in texts], 2)
    return join([*_split(each), text, more + planes(chain.from_iterable(rows), 2)])


def _split(rising: Sequence[int]) -> tuple[bytes, bytes]:
    """Return streams 0 and 1."""
    data = planes(rising, _WIDTH)
    low = _LOW_BYTES * len(rising)
    return data[low:], data[:low]


def _codes(count: int, rows: Sequence[Sequence[int]]) -> bytes:
    """Return the code of each row; nothing if all cells are equal."""
    if len(rows) == 1:
        return b""
    codes = bytearray(count)
    for code, found in enumerate(rows, 1):
        for row in found:
            codes[row] = code
    return bytes(codes)


def decode_column(data: bytes, rows: int) -> ColumnCells:
    """Return the cells of a part. Raises DamagedPack, as all methods of what it returns do."""
    part = Part(data, 4)
    return CodedColumn(part, rows) if part.length(_ROWS) in (0, rows) else OrderedColumn(part, rows)


class _Different:
    """The different cells of a part: numbers and texts."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._high = part.stream(_HIGH)
        self._text = part.stream(_TEXTS)
        self.numbered, odd = divmod(len(self._high), _HIGH_BYTES)
        self.texted = self._text.count(b"\n")
        top = self._high[-self.numbered :] if self.numbered else b""
        self.addresses = top.count(0)
        """How many numbers are addresses. They stand before networks."""
        if odd or top[: self.addresses].strip(b"\0") or top.translate(None, _HOST_BITS):
            raise DamagedPack("a column has damaged numbers")

    @cached_property
    def numbers(self) -> "array[int]":
        """The cells that are numbers."""
        low = self._part.stream(_LOW)
        if len(low) != self.numbered * _LOW_BYTES:
            raise DamagedPack("a column has damaged numbers")
        return numbers(low + self._high, _WIDTH)

    def spans(self, test: CellTest) -> Iterable[tuple[int, int]]:
        """Return from where to where (excluded) the numbers pass."""
        if not self.numbered or not test.spans(numbers(self._high, _HIGH_BYTES), _LOW_BITS):
            return ()
        return test.spans(self.numbers)

    @cached_property
    def texts(self) -> list[str]:
        """The cells that are texts."""
        try:
            first, *texts = self._text.decode("utf-8", "surrogatepass").split("\n")
        except UnicodeDecodeError as error:
            raise DamagedPack("a column has damaged texts") from error
        if first:
            raise DamagedPack("a column has damaged texts")
        return texts

    def cells(self) -> list[str]:
        """Return all of them as texts."""
        return [*map(ipv4.text_of, self.numbers), *self.texts]

    def places(self, test: CellTest) -> Sequence[int]:
        """Return the places of the texts that pass."""
        return list(test.places(self.texts)) if test.may(self._text) else []


class CodedColumn:
    """Rows with codes of one byte, or with one cell."""

    def __init__(self, part: Part, rows: int) -> None:
        self._part, self._rows = part, rows
        self._different = _Different(part)
        self._count = self._different.numbered + self._different.texted
        if not 1 <= self._count <= _CODES or (self._count == 1) != (part.length(_ROWS) == 0):
            raise DamagedPack("a column has an impossible number of cells")

    @cached_property
    def _codes(self) -> bytes:
        """The code of each row."""
        if self._count == 1:
            return b"\1" * self._rows
        codes = self._part.stream(_ROWS)
        if codes.translate(None, bytes(range(1, self._count + 1))):
            raise DamagedPack("a column has a code without a cell")
        return codes

    def mask(self, test: CellTest) -> Mask:
        """See ColumnCells.mask."""
        known = self._different.numbered
        table = bytearray(256)
        for low, high in self._different.spans(test):
            table[low + 1 : high + 1] = b"\1" * (high - low)
        for place in self._different.places(test):
            table[known + place + 1] = 1
        return self._codes.translate(table) if 1 in table else bytes(self._rows)

    def counts(self, mask: Mask) -> Counts:
        """See ColumnCells.counts."""
        totals = self._totals(mask)
        known = self._different.numbered
        return counts_of(
            {number: count for number, count in zip(self._different.numbers, totals, strict=False) if count},
            dict(zip(self._different.texts, totals[known:], strict=True)),
        )

    def _totals(self, mask: Mask) -> list[int]:
        """Return the number of rows that pass by code."""
        if self._count == 1:
            return [mask.count(1)]
        if self._count <= _ONE_BY_ONE:
            kept = keep(self._codes, mask)
            return [kept.count(code) for code in range(1, self._count + 1)]
        found = Counter(compress(self._codes, mask))
        return [found[code] for code in range(1, self._count + 1)]

    def groups(self, mask: Mask) -> list[tuple[str, Mask]] | None:
        """See ColumnCells.groups."""
        each = self._different.cells()
        if self._count == 1:
            return [(each[0], mask)]
        kept = keep(self._codes, mask)
        found = set(kept) - {0}
        if len(found) > MOST_GROUPS:
            return None
        return [(each[code - 1], kept.translate(_only(code))) for code in found]

    def cells(self) -> list[str]:
        """See ColumnCells.cells."""
        return list(map(["", *self._different.cells()].__getitem__, self._codes))

    def each(self) -> list[int | str]:
        """See ColumnCells.each."""
        each: list[int | str] = [0, *self._different.numbers, *self._different.texts]
        return list(map(each.__getitem__, self._codes))


def _only(code: int) -> bytes:
    return bytes(code) + b"\1" + bytes(255 - code)


class OrderedColumn:
    """Rows in the order of their cells."""

    def __init__(self, part: Part, rows: int) -> None:
        self._part, self._rows = part, rows
        self._different = _Different(part)
        if part.length(_ROWS) != 2 * (rows + self._different.texted) or not self._different.numbered <= rows > _CODES:
            raise DamagedPack("a column has an impossible number of rows")

    @cached_property
    def _ends(self) -> list[int]:
        """Where the rows of the numbers end, and those of each text."""
        counts = numbers(self._part.stream(_ROWS)[: 2 * self._different.texted], 2)
        ends = list(accumulate(map(add, counts, repeat(1)), initial=self._different.numbered))
        if ends[-1] != self._rows:
            raise DamagedPack("a column has an impossible number of rows")
        return ends

    @cached_property
    def _order(self) -> list[int]:
        """The rows in the order of their cells."""
        data = self._part.stream(_ROWS)[2 * self._different.texted :]
        order = numbers(data, 2).tolist()
        whole = bytes(range(self._rows >> 8))  # high bytes with which no low byte is too large
        if data[self._rows :].translate(None, whole) and max(order) >= self._rows:
            raise DamagedPack("a column has a row too much")
        return order

    def mask(self, test: CellTest) -> Mask:
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
        passing = bytes(itemgetter(*self._order)(mask))
        split, known = self._different.addresses, self._different.numbered
        return Counts(
            compress(self._different.numbers[:split], passing),
            Counter(compress(self._different.numbers[split:], passing[split:known])).items(),
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

    def each(self) -> list[int | str]:
        """See ColumnCells.each."""
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
