"""The rows that engines may keep of bans: a column for each dimension, and one for the scope of the address. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from banledger.ledger.ban import CODEC, PENDING, RANK
from banledger.ledger.dimensions import DAY, HOURS, INDEXED, TABLE, Dimension
from banledger.ledger.filters import SCOPE
from banledger.ledger.months import bounds_of, is_month, months_of
from banledger.ledger.tokens import token
from banledger.stores import fields as read
from banledger.stores.fields import Damaged
from banledger.stores.selection import Cells, Column, DerivedSet, Family, Is, RowCounts, Selection


def _column(name: str, field: str, text: Callable[[Any], str], several: bool = False) -> Column:
    """Return a column that one field of a ban decides, read as the ban reads it. `text`: the cell of its value."""
    strict = _day if name == DAY else CODEC.fields[field].form.read

    def cell(value: str | None) -> str:
        found = None if value is None else strict({field: value}, field)
        return "" if found is None else text(found)

    # most addresses are new, and what reads them has a cache
    return Column(name, (field,), cell if field == "ip" else lru_cache(maxsize=8192)(cell), several)


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


@lru_cache(maxsize=16)
def is_counted(origin: str | None) -> bool:
    """Whether a ban of that origin has a row: not while only amendments are known. Raises `fields.Damaged`."""
    return read.one_of({} if origin is None else {"origin": origin}, "origin", RANK) != PENDING


_READS = tuple([column.read for column in COLUMNS])
_FIELDS = tuple([column.fields[0] for column in COLUMNS])
_PLACES = {column.name: place for place, column in enumerate(COLUMNS)}
_DAY = _PLACES[DAY]
_ALWAYS = {place for place, column in enumerate(COLUMNS) if CODEC.fields[column.fields[0]].form.needed}
"""Columns of fields that every ban has."""


def _places(names: Iterable[str]) -> list[tuple[str, list[int]]]:
    """Return dimensions with the places of the columns that they are made of: of a pair two."""
    return [(name, [_PLACES[part] for part in name.split("+")]) for name in names]


_RANKED = _places((*INDEXED, DAY))
_TALLIED = _places([name for name, row in TABLE.items() if row.tallied])


def _cells_of(column: Column, hashes: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Return the cells of a column. Raises `fields.Damaged`. Each value is read once: most occur often."""
    name = column.fields[0]
    values = [fields.get(name) for fields in hashes]
    cells = {value: column.read(value) for value in set(values)}
    return map(cells.__getitem__, values)


def _counted(rows: Sequence[Cells], names: list[tuple[str, list[int]]]) -> Iterator[tuple[str, Counter[str]]]:
    """Count the tokens of rows in some dimensions."""
    columns = list(zip(*rows, strict=True))
    for name, (place, *other) in names if rows else ():
        if other:
            yield name, _pairs(columns[place], columns[other[0]], always=other[0] in _ALWAYS)
            continue
        count = Counter(" ".join(columns[place]).split(" ") if COLUMNS[place].several else columns[place])
        del count[""]
        yield name, count


def _pairs(first: Sequence[str], second: Sequence[str], *, always: bool) -> Counter[str]:
    """Count pairs of tokens. `always`: also of rows whose second token is empty."""
    count = Counter(zip(first, second, strict=True))
    return Counter({f"{one}|{two}": number for (one, two), number in count.items() if two or always})


class BanProjection:
    """See `selection.Projection`: the rows of bans under one prefix."""

    columns = COLUMNS

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._head = f"{prefix}:{{"
        self.head = f"{prefix}:{{}}:ban:"
        self.families = (*map(self._family, INDEXED), Family(self._head, f"{prefix}:top:{DAY}", self._days))

    def _family(self, dimension: str) -> Family:
        head = f"{self.prefix}:{dimension}:"
        return Family(head, f"{self.prefix}:top:{dimension}", lambda tok: (head + tok,))

    def _days(self, day: str) -> tuple[str, ...]:
        if read.day_number(day) is None:
            return ()
        return tuple([f"{self._head}{month}}}:day:{day}" for month in months_of(day)])

    def cells(self, fields: Mapping[str, str]) -> Cells | None:
        """See Projection.cells. Bans that are not counted yet have no row."""
        get = fields.get
        try:
            if not is_counted(get("origin")):
                return None
            return tuple([read_(value) for read_, value in zip(_READS, map(get, _FIELDS))])  # noqa: B905  # faster
        except Damaged:
            return None

    def rows(self, hashes: Sequence[Mapping[str, str]]) -> Sequence[Cells | None]:
        """See Projection.rows."""
        with suppress(Damaged):
            if all(map(is_counted, {fields.get("origin") for fields in hashes})):
                return list(zip(*[_cells_of(column, hashes) for column in COLUMNS], strict=True))
        return list(map(self.cells, hashes))

    def counts(self, rows: Sequence[tuple[str, Cells]]) -> RowCounts:
        """See Projection.counts."""
        tallies: dict[str, Mapping[str, int]] = {}
        days: dict[tuple[str, str], list[Cells]] = defaultdict(list)
        for id_, cells in rows:
            days[id_[:4], cells[_DAY]].append(cells)
        for (month, day), some in days.items():
            head = f"{self._head}{month}}}:count:{day}:"
            tallies |= {head + name: count for name, count in _counted(some, _TALLIED)}
        tops = {f"{self.prefix}:top:{name}": count for name, count in _counted([cells for _, cells in rows], _RANKED)}
        return RowCounts(tops, tallies)

    def is_counted(self, key: str) -> bool:
        """See Projection.is_counted."""
        return key.startswith(self._head) and key[len(self._head) + 4 :].startswith("}:count:")

    def set_of(self, key: str) -> DerivedSet | None:
        """See Projection.set_of."""
        if not key.startswith(self.prefix + ":"):
            return None
        word, _, rest = key[len(self.prefix) + 1 :].partition(":")
        if word in INDEXED:
            return self._set_of_token(word, rest)
        return self._set_of_day(word[1:-1], rest.removeprefix("day:")) if rest.startswith("day:") else None

    def _set_of_day(self, month: str, day: str) -> DerivedSet | None:
        if not is_month(month) or read.day_number(day) is None or month not in months_of(day):
            return None
        since, until = bounds_of(month)
        ranked = (f"{self.prefix}:top:{DAY}", day) if len(months_of(day)) == 1 else None
        return DerivedSet(Selection(((Is(DAY, frozenset([day])),),), since, until), ranked)

    def _set_of_token(self, dimension: str, tok: str) -> DerivedSet | None:
        names = dimension.split("+")
        parts = tok.split("|") if len(names) > 1 else [tok]
        if len(parts) != len(names) or not all(parts):
            return None
        conditions = [(Is(name, frozenset([part])),) for name, part in zip(names, parts, strict=True)]
        return DerivedSet(Selection(tuple(conditions)), (f"{self.prefix}:top:{dimension}", tok))
