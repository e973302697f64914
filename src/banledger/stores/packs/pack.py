"""Packs: up to 16,384 rows in the order of their keys, column by column. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from banledger.stores.selection import Cells, Column

Key: TypeAlias = bytes
"""A row's place: UTC epoch second (4 bytes, big-endian), then 50 bits of its id (8 bytes, big-endian)."""

Row: TypeAlias = tuple[Key, Cells]
"""A key, and the cells of all columns in their order."""

PACK_ROWS = 16_384
"""The most rows of a pack."""


class DamagedPack(ValueError):
    """A part of a pack holds something that `encode` does not write."""


def encode(columns: Sequence[Column], rows: Sequence[Row]) -> list[bytes]:
    """Return the parts of a pack: part 0 has the keys, part 1 + n the cells of column n.

    `rows`: sorted by key, without equal keys, 1 to PACK_ROWS. Raises ValueError if a cell has a line feed, or if the
    cells of one column exceed 64 MiB together (pack fewer rows then).
    """
    raise NotImplementedError


class Pack:
    """One pack. Loads each part when it is first needed, and keeps it. Used by one thread.

    columns  as they were given to `encode`
    rows     number of rows, 1 to PACK_ROWS
    load     returns a part by its number. What it raises passes through
    """

    def __init__(self, columns: Sequence[Column], rows: int, load: Callable[[int], bytes]) -> None:
        raise NotImplementedError

    def keys(self) -> list[Key]:
        """Return the keys in their order. Raises DamagedPack."""
        raise NotImplementedError

    def all_rows(self) -> list[Row]:
        """Return all rows, as they were given to `encode`. Raises DamagedPack."""
        raise NotImplementedError
