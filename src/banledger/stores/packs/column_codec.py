"""How the cells of one column of a pack are stored. Pure.

The different cells stand once, sorted: canonical IPv4 addresses and networks as numbers (`ipv4`), all others as texts.
Each row has a code: the place of its cell, from 1; of one byte if 255 are enough, else of two. If most cells are
addresses, and there are more than 255, the rows stand in the order of their cells instead: then the addresses of any
rows are read in their order.

    stream 0  the three high bytes of the numbers; of rows in the order of their cells: one number for each row
    stream 1  their two low bytes. For most packs stream 0 is enough to see that no row has an address
    stream 2  the texts, each after a line feed
    stream 3  the codes, or nothing if all cells are equal; or the rows in the order of their cells
    stream 4  only with rows in the order of their cells: for each text, the number of its rows less one
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from banledger.stores.packs import ipv4
from banledger.stores.packs.part import DamagedPack, PackPart, join
from banledger.stores.packs.passing import ColumnTest
from banledger.stores.packs.planes import numbers, planes

CODED, ORDERED = 4, 5
"""The number of streams with codes, and with rows in the order of their cells."""

NARROW = 255
"""The most codes of one byte."""

_HIGH, _LOW, _TEXTS = range(3)
ROWS, COUNTS = 3, 4
_LOW_BYTES, _HIGH_BYTES = 2, 3
_HIGHEST = b"\0\1"  # what the highest byte of a number may be


def encode_column(cells: Sequence[str], *, several: bool) -> bytes:
    """Return the part of a column. `several`: a cell may hold several tokens.

    Raises ValueError if a cell has a line feed, or if the cells are too long together.
    """
    different = set(cells)
    numbered = {} if several else {cell: n for cell in different if (n := ipv4.number_of(cell)) is not None}
    texts = sorted(different - numbered.keys())
    text = "".join([f"\n{cell}" for cell in texts]).encode("utf-8", "surrogatepass")
    if text.count(b"\n") != len(texts):
        raise ValueError("a cell has a line feed")
    code_of = {cell: code for code, cell in enumerate([*sorted(numbered, key=numbered.__getitem__), *texts], 1)}
    codes = array("H", map(code_of.__getitem__, cells))
    rising = sorted(numbered.values())
    if len(different) > NARROW and 2 * bisect_left(rising, ipv4.NETWORKS) >= len(different):
        return _in_order(codes, rising, text, len(texts))
    width = 0 if len(different) == 1 else 1 if len(different) <= NARROW else 2
    return join([*_split(rising), text, planes(codes, width)])


def _in_order(codes: Sequence[int], rising: Sequence[int], text: bytes, texts: int) -> bytes:
    """Return the part of rows in the order of their cells. `texts`: how many different ones there are."""
    rows = sorted(range(len(codes)), key=codes.__getitem__)
    in_order = list(map(codes.__getitem__, rows))
    numbered = bisect_right(in_order, len(rising))
    each = list(map([0, *rising].__getitem__, in_order[:numbered]))
    counts = Counter(in_order[numbered:])
    less_one = [counts[len(rising) + 1 + place] - 1 for place in range(texts)]
    return join([*_split(each), text, planes(rows, 2), planes(less_one, 2)])


def _split(rising: Sequence[int]) -> tuple[bytes, bytes]:
    """Return streams 0 and 1."""
    data = planes(rising, _LOW_BYTES + _HIGH_BYTES)
    low = _LOW_BYTES * len(rising)
    return data[low:], data[:low]


class DifferentCells:
    """The different cells of a part: numbers and texts."""

    def __init__(self, part: PackPart) -> None:
        self._part = part
        self._high = part.stream(_HIGH)
        self._text = part.stream(_TEXTS)
        self.numbered, odd = divmod(len(self._high), _HIGH_BYTES)
        self.texted = self._text.count(b"\n")
        top = self._high[2 * self.numbered :]
        self.addresses = top.count(0)
        """How many numbers are addresses. They stand before networks."""
        if odd or top[: self.addresses].strip(b"\0") or top.translate(None, _HIGHEST):
            raise DamagedPack("a column has damaged numbers")

    @cached_property
    def numbers(self) -> "array[int]":
        """The cells that are numbers."""
        low = self._part.stream(_LOW)
        if len(low) != self.numbered * _LOW_BYTES:
            raise DamagedPack("a column has damaged numbers")
        return numbers(low + self._high, _LOW_BYTES + _HIGH_BYTES)

    @cached_property
    def lows(self) -> "array[int]":
        """The 32 low bits of the cells that are numbers."""
        low = self._part.stream(_LOW)
        if len(low) != self.numbered * _LOW_BYTES:
            raise DamagedPack("a column has damaged numbers")
        return numbers(low + self._high[: 2 * self.numbered], _LOW_BYTES + 2)

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

    def may_pass(self, test: ColumnTest) -> bool:
        """Whether any cell may pass: a quick look at all of them."""
        return test.may_pass(self._text) or bool(self._near(test))

    def _near(self, test: ColumnTest) -> Sequence[tuple[int, int]]:
        """Return from where to where the numbers may pass, by their high bytes."""
        return test.spans(numbers(self._high, _HIGH_BYTES), 8 * _LOW_BYTES) if self.numbered else ()

    def spans(self, test: ColumnTest) -> Iterable[tuple[int, int]]:
        """Return from where to where (excluded) the numbers pass."""
        return test.spans(self.numbers) if self._near(test) else ()

    def places(self, test: ColumnTest) -> Sequence[int]:
        """Return the places of the texts that pass."""
        return list(test.places(self.texts)) if test.may_pass(self._text) else []
