"""Pass rows through conditions, column by column: each value of a field is read and tested once. Pure.

Theory of operation. Most columns have few values, so what a value says (its cell, and whether that passes) is looked up
in a dictionary. A page of rows is turned into columns; loops over them run in C. Rows that fail leave all columns
before the next condition is looked at.
"""

from collections.abc import Callable, Iterable, Sequence
from inspect import unwrap
from itertools import compress
from typing import Any, TypeAlias

from msgspec import Struct

from banledger.ledger.projection import COLUMN, is_counted
from banledger.stores.conditions import cell_test
from banledger.stores.fields import Damaged
from banledger.stores.selection import Column, Condition

_KNOWN = 250_000  # values of a field in memory
_LONGEST = 512  # characters of one of them: longer ones are read each time

_Columns: TypeAlias = list[Sequence[Any]]


class Passed(Struct, frozen=True):
    """Rows that passed.

    ids     their ids
    cells   of each column that was asked for, their cells
    unsound ids that have no row because a field is damaged, or there is no hash
    """

    ids: Sequence[str]
    cells: Sequence[Sequence[str]]
    unsound: Sequence[str]


class _Read(dict[Any, Any]):
    """What each raw value says; None: it is damaged. `field`: its place among the fields. `damaged`: any was so far."""

    def __init__(self, field: int, read: Callable[[str | None], Any]) -> None:
        self.field = field
        self.damaged = False
        self._read = read

    def __missing__(self, raw: str | None) -> Any:
        if len(self) >= _KNOWN:
            self.clear()
        try:
            found = self._read(raw)
        except Damaged:
            found, self.damaged = None, True
        if raw is None or len(raw) <= _LONGEST:
            self[raw] = found
        return found

    def of(self, columns: _Columns) -> list[Any]:
        return list(map(self.__getitem__, columns[self.field]))


class Sieve:
    """Tests rows, and makes the cells of some columns of those that pass. `fields`: what a row has, in order."""

    def __init__(self, all_of: Iterable[Iterable[Condition]], columns: Iterable[str]) -> None:
        self.fields = ["origin"]
        self._groups = [[_Read(0, is_counted)]]
        self._groups += [[self._test(one) for one in group] for group in all_of]
        self._cells = [_Read(self._place(COLUMN[name]), _uncached(COLUMN[name])) for name in columns]

    def _place(self, column: Column) -> int:
        if column.field not in self.fields:
            self.fields.append(column.field)
        return self.fields.index(column.field)

    def _test(self, condition: Condition) -> _Read:
        column = COLUMN[condition.column]
        passes, read = cell_test(condition, several=column.several), _uncached(column)
        return _Read(self._place(column), lambda raw: passes(read(raw)))

    def passed(self, ids: Sequence[str], rows: Iterable[Sequence[str | None]]) -> Passed:
        """Return the rows that pass. `rows`: the values of `fields` of each id."""
        fields: _Columns = list(zip(*rows, strict=True))
        unsound: list[str] = []
        for group in self._groups:
            if ids:
                verdicts = _verdicts([read.of(fields) for read in group])
                unsound += _damaged(group, ids, verdicts)
                ids, fields = _kept(ids, fields, verdicts)
        cells: _Columns = [read.of(fields) if ids else () for read in self._cells]
        if any(read.damaged for read in self._cells):
            verdicts = [None if None in row else True for row in zip(*cells, strict=True)]
            unsound += _damaged(self._cells, ids, verdicts)
            ids, cells = _kept(ids, cells, verdicts)
        return Passed(ids, cells, unsound)


def _uncached(column: Column) -> Callable[[str | None], str]:
    """How a cell is read, without the cache of the column: a second one would only cost."""
    read: Callable[[str | None], str] = unwrap(column.read)
    return read


def _verdicts(group: Sequence[list[bool | None]]) -> list[bool | None]:
    """Whether each row passes any condition of a group; None: a field that a condition looks at is damaged."""
    if len(group) == 1:
        return group[0]
    return [None if None in row else True in row for row in zip(*group, strict=True)]


def _damaged(reads: Iterable[_Read], ids: Sequence[str], verdicts: Sequence[bool | None]) -> list[str]:
    """The ids without a verdict."""
    if not any(read.damaged for read in reads):
        return []
    return [id_ for id_, verdict in zip(ids, verdicts, strict=True) if verdict is None]


def _kept(ids: Sequence[str], columns: _Columns, verdicts: Sequence[bool | None]) -> tuple[Sequence[str], _Columns]:
    """The rows that pass."""
    if all(verdicts):
        return ids, columns
    return list(compress(ids, verdicts)), [list(compress(column, verdicts)) for column in columns]
