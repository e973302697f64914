"""The rows that engines may keep of bans: a column for each dimension, and one for the scope of the address. Pure."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from banledger.ledger.ban import CODEC, PENDING, RANK
from banledger.ledger.dimensions import DAY, HOURS, TABLE, Dimension
from banledger.ledger.filters import SCOPE
from banledger.ledger.ids import is_ban_id
from banledger.ledger.tokens import token
from banledger.stores import fields as read
from banledger.stores.fields import Damaged
from banledger.stores.selection import Cells, Column


def _column(name: str, field: str, text: Callable[[Any], str], several: bool = False) -> Column:
    """Return a column that one field of a ban decides, read as the ban reads it. `text`: the cell of its value."""
    strict = _day if name == DAY else CODEC.fields[field].form.read

    @lru_cache(maxsize=8192)
    def cell(value: str | None) -> str:
        found = None if value is None else strict({field: value}, field)
        return "" if found is None else text(found)

    return Column(name, (field,), cell, several)


def _day(fields: Mapping[str, str], name: str) -> str:
    """Read a day without the time that it must fit to."""
    if read.day_number(fields[name]) is None:
        raise Damaged(name, "is not a date")
    return fields[name]


def _of_dimension(row: Dimension) -> Column:
    field = row.field or row.name
    if row.token is None:
        return _column(row.name, field, lambda names: " ".join(map(token, names)), several=True)
    return _column(row.name, field, token if row.encoded else HOURS.__getitem__ if row.name == "hour" else str)


COLUMNS = (*[_of_dimension(row) for row in TABLE.values() if "+" not in row.name], _column(SCOPE, SCOPE, str))
"""The columns of a ban. Those of dimensions have the dimension's name."""

COLUMN = {column.name: column for column in COLUMNS}
"""They by name."""


def is_counted(origin: str | None) -> bool:
    """Whether a ban of that origin has a row: not while only amendments are known. Raises `fields.Damaged`."""
    return read.one_of({} if origin is None else {"origin": origin}, "origin", RANK) != PENDING


_READS = tuple([(column.read, column.fields[0]) for column in COLUMNS])


class BanProjection:
    """See `selection.Projection`: the rows of bans under one prefix."""

    columns = COLUMNS

    def __init__(self, prefix: str) -> None:
        self._head = f"{prefix}:{{"

    def id_of(self, key: str) -> str | None:
        """See Projection.id_of."""
        slot, _, id_ = key.rpartition("}:ban:")
        return id_ if slot == self._head + id_[:4] and is_ban_id(id_) else None

    def cells(self, fields: Mapping[str, str]) -> Cells | None:
        """See Projection.cells. Bans that are not counted yet have no row."""
        get = fields.get
        try:
            return tuple([read_(get(name)) for read_, name in _READS]) if is_counted(get("origin")) else None
        except Damaged:
            return None
