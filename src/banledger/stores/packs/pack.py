"""Packs: up to 16,384 rows in the order of their keys, column by column. Pure."""

from collections.abc import Callable, Sequence
from math import ceil
from struct import iter_unpack
from typing import TypeAlias

from banledger.stores.packs.column import ColumnCells
from banledger.stores.packs.column_codec import encode_column
from banledger.stores.packs.packed_column import decode_column
from banledger.stores.packs.part import DamagedPack, PackPart, join
from banledger.stores.packs.planes import planes, rising, steps
from banledger.stores.selection import Cells, Column

__all__ = ["AFTER_ALL", "BEFORE_ALL", "PACK_ROWS", "DamagedPack", "Key", "Pack", "Row", "encode", "lowest_key"]

Key: TypeAlias = bytes
"""A row's place: UTC epoch second (4 bytes, big-endian), then 50 bits of its id (8 bytes, big-endian)."""

BEFORE_ALL, AFTER_ALL = b"", b"\xff" * 13
"""Below and above every key."""

Row: TypeAlias = tuple[Key, Cells]
"""A key, and the cells of all columns in their order."""

PACK_ROWS = 16_384
"""The most rows of a pack."""

_KEY_BYTES = 12
_SECOND_BYTES = 4
_LAST_SECOND = (1 << 32) - 1
_HIGHEST_BITS = b"\0\1\2\3"  # what the second byte of an id's 50 bits may be; the first is 0


def lowest_key(second: float) -> bytes:
    """Return bytes that no key of this second (UTC epoch) or later is below, and all earlier ones are."""
    if second <= 0:
        return BEFORE_ALL
    return AFTER_ALL if second > _LAST_SECOND else ceil(second).to_bytes(_SECOND_BYTES, "big")


def encode(columns: Sequence[Column], rows: Sequence[Row]) -> list[bytes]:
    """Return the parts of a pack: part 0 has the keys, part 1 + n the cells of column n.

    `rows`: sorted by key, without equal keys, 1 to PACK_ROWS. Raises ValueError if a cell has a line feed, if the
    cells of one column exceed 64 MiB together (pack fewer rows then), or if a key is none.
    """
    if not 1 <= len(rows) <= PACK_ROWS:
        raise ValueError(f"a pack has 1 to {PACK_ROWS} rows")
    keys, cells = zip(*rows, strict=True)
    by_column = zip(columns, zip(*cells, strict=True), strict=True)
    return [_encode_keys(keys), *[encode_column(each, several=column.several) for column, each in by_column]]


def _encode_keys(keys: Sequence[Key]) -> bytes:
    """Return part 0: the steps of the seconds, and the bytes of the ids in planes."""
    if any(len(key) != _KEY_BYTES for key in keys):
        raise ValueError(f"a key has {_KEY_BYTES} bytes")
    data = b"".join(keys)
    seconds = [int.from_bytes(key[:_SECOND_BYTES], "big") for key in keys]
    ids = [data[place::_KEY_BYTES] for place in range(_SECOND_BYTES, _KEY_BYTES)]
    if not _are_ids(*ids[:2]):
        raise ValueError("a key has more than 50 bits of an id")
    return join([steps(seconds, _SECOND_BYTES) + b"".join(ids)])


def _are_ids(highest: bytes, next_: bytes) -> bool:
    """Whether 8 bytes with these at their beginning hold no more than 50 bits."""
    return not highest.strip(b"\0") and not next_.translate(None, _HIGHEST_BITS)


def _decode_keys(data: bytes, rows: int) -> list[Key]:
    """Return the keys of part 0. Raises DamagedPack."""
    body = PackPart(data, (1,)).stream(0)
    if len(body) != rows * _KEY_BYTES:
        raise DamagedPack("a pack has another number of keys than rows")
    seconds = rising(body[: _SECOND_BYTES * rows], _SECOND_BYTES)
    if seconds[-1] >= 1 << 32:
        raise DamagedPack("a pack has an impossible second")
    if not _are_ids(*[body[place * rows : (place + 1) * rows] for place in (_SECOND_BYTES, _SECOND_BYTES + 1)]):
        raise DamagedPack("a pack has an impossible id")
    low_first = planes(seconds, _SECOND_BYTES)
    raw = bytearray(len(body))
    for place in range(_SECOND_BYTES):
        raw[_SECOND_BYTES - 1 - place :: _KEY_BYTES] = low_first[place * rows : (place + 1) * rows]
    for place in range(_SECOND_BYTES, _KEY_BYTES):
        raw[place::_KEY_BYTES] = body[place * rows : (place + 1) * rows]
    return [key for (key,) in iter_unpack(f"{_KEY_BYTES}s", raw)]


class Pack:
    """One pack. Loads and reads a part each time it is asked for, and keeps nothing.

    columns  as they were given to `encode`
    rows     number of rows, 1 to PACK_ROWS
    load     returns a part by its number. What it raises passes through
    """

    def __init__(self, columns: Sequence[Column], rows: int, load: Callable[[int], bytes]) -> None:
        if not 1 <= rows <= PACK_ROWS:
            raise DamagedPack("a pack has an impossible number of rows")
        self.rows = rows
        self._columns = columns
        self._load = load

    def keys(self) -> list[Key]:
        """Return the keys in their order. Raises DamagedPack."""
        return _decode_keys(self._load(0), self.rows)

    def column(self, number: int) -> ColumnCells:
        """Return the cells of a column by its place among the columns. Raises DamagedPack, as their methods do."""
        return decode_column(self._load(1 + number), self.rows)

    def all_rows(self) -> list[Row]:
        """Return all rows, as they were given to `encode`. Raises DamagedPack."""
        columns = [self.column(number).cells() for number in range(len(self._columns))]
        return list(zip(self.keys(), zip(*columns, strict=True), strict=True))
