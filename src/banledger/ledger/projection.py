"""The rows that engines may keep of bans: a column for each dimension, and one for the scope of the address. Pure."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from banledger.ledger.ban import CODEC, PENDING, RANK
from banledger.ledger.dimensions import DAY, HOURS, INDEXED, TABLE, Dimension
from banledger.ledger.filters import SCOPE
from banledger.ledger.ids import DIGITS
from banledger.ledger.months import bounds_of, is_month, months_of
from banledger.ledger.tokens import token
from banledger.stores import fields as read
from banledger.stores.fields import Damaged
from banledger.stores.selection import Cells, Column, DerivedSet, Family, Is, Selection


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
"""The columns by name."""


def is_counted(origin: str | None) -> bool:
    """Whether a ban of that origin has a row: not while only amendments are known. Raises `fields.Damaged`."""
    return read.one_of({} if origin is None else {"origin": origin}, "origin", RANK) != PENDING


_READS = tuple([(column.read, column.fields[0]) for column in COLUMNS])
_INDEXED = tuple([(place, column.name) for place, column in enumerate(COLUMNS) if column.name in (*INDEXED, DAY)])
_PAIRS = tuple([name for name in INDEXED if "+" in name])
_PLACES = {column.name: place for place, column in enumerate(COLUMNS)}


class BanProjection:
    """See `selection.Projection`: the rows of bans under one prefix."""

    columns = COLUMNS

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._head = f"{prefix}:{{"
        self._ban = re.compile(rf"{re.escape(prefix)}:\{{(\d{{4}})\}}:ban:(\1\d\d[{DIGITS}]{{14}})", re.ASCII)
        self._tops = [(place, f"{prefix}:top:{name}") for place, name in _INDEXED]
        self._pairs = [([_PLACES[part] for part in name.split("+")], f"{prefix}:top:{name}") for name in _PAIRS]
        self.families = (*map(self._family, INDEXED), Family(self._head, f"{prefix}:top:{DAY}", self._days))

    def _family(self, dimension: str) -> Family:
        head = f"{self.prefix}:{dimension}:"
        return Family(head, f"{self.prefix}:top:{dimension}", lambda tok: (head + tok,))

    def _days(self, day: str) -> tuple[str, ...]:
        if read.day_number(day) is None:
            return ()
        return tuple([f"{self._head}{month}}}:day:{day}" for month in months_of(day)])

    def id_of(self, key: str) -> str | None:
        """See Projection.id_of."""
        found = self._ban.fullmatch(key)
        return found[2] if found else None

    def cells(self, fields: Mapping[str, str]) -> Cells | None:
        """See Projection.cells. Bans that are not counted yet have no row."""
        get = fields.get
        try:
            return tuple([read_(get(name)) for read_, name in _READS]) if is_counted(get("origin")) else None
        except Damaged:
            return None

    def ranked(self, cells: Cells) -> list[tuple[str, str]]:
        """See Projection.ranked."""
        found = [(top, tok) for place, top in self._tops for tok in cells[place].split(" ") if tok]
        for places, top in self._pairs:
            found.append((top, "|".join([cells[place] for place in places])))
        return found

    def set_of(self, key: str) -> DerivedSet | None:
        """See Projection.set_of."""
        if not key.startswith(self.prefix + ":"):
            return None
        word, _, rest = key[len(self.prefix) + 1 :].partition(":")
        if word in INDEXED:
            return self._set_of_token(word, rest)
        return _set_of_day(word[1:-1], rest.removeprefix("day:")) if rest.startswith("day:") else None

    def _set_of_token(self, dimension: str, tok: str) -> DerivedSet | None:
        names = dimension.split("+")
        parts = tok.split("|") if len(names) > 1 else [tok]
        if len(parts) != len(names) or not all(parts):
            return None
        conditions = [(Is(name, frozenset([part])),) for name, part in zip(names, parts, strict=True)]
        return DerivedSet(Selection(tuple(conditions)), (f"{self.prefix}:top:{dimension}", tok))


def _set_of_day(month: str, day: str) -> DerivedSet | None:
    if not is_month(month) or read.day_number(day) is None:
        return None
    since, until = bounds_of(month)
    return DerivedSet(Selection(((Is(DAY, frozenset([day])),),), since, until))
