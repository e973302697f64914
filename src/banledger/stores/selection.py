"""Questions about many hashes: which pass any mix of tests, and what they have in common. Pure: values and a protocol.

A *row* is one hash as its *cells*: one text for each *column*. A cell holds *tokens*, separated by blanks: none, one,
or several (the user names of a ban). Tokens contain neither blanks nor control characters. An engine learns
the columns from a `Projection`. An engine that keeps rows beside its hashes answers a `Selection` from them
(`Reader.select`); for all others the hashes are read, as few fields of them as the question needs (`Reader.fields`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

Cells: TypeAlias = tuple[str, ...]
"""The cells of a row, in the order of the projection's columns."""


class Column(Struct, frozen=True):
    """One column of the rows.

    fields  the fields of a hash that it is made of
    read    returns the cell of their values (None: the field is absent). Raises `fields.Damaged`
    several whether a cell may hold several tokens
    """

    name: str
    fields: tuple[str, ...]
    read: Callable[..., str]
    several: bool = False


class Is(Struct, frozen=True):
    """Passes rows that have any of these tokens in the column."""

    column: str
    tokens: frozenset[str]


class Between(Struct, frozen=True):
    """Passes rows whose token in the column lies between two texts, both included. None: open."""

    column: str
    low: str | None
    high: str | None


class Within(Struct, frozen=True):
    """Passes rows whose token in the column is an address or network inside the network `cidr` (canonical)."""

    column: str
    cidr: str


Condition: TypeAlias = Is | Between | Within


class Selection(Struct, frozen=True):
    """Selects the rows that pass, of each group of conditions, at least one.

    `since` (included) and `until` (excluded) bound the second in a row's id, UTC epoch seconds; None: open.
    """

    all_of: tuple[tuple[Condition, ...], ...] = ()
    since: float | None = None
    until: float | None = None


class Rank(Struct, frozen=True):
    """The tokens of a column by their number of rows.

    rows      (token, rows), most first, equal ones by token in reverse
    distinct  number of different tokens
    counted   sum of the rows of all tokens
    """

    rows: tuple[tuple[str, int], ...]
    distinct: int
    counted: int


class Ranks(Struct, frozen=True):
    """The answer to `Selected.rank`.

    total     number of selected rows
    by        the rank of each column that was asked for
    distinct  for each token of one column the number of different tokens that its rows have in another
    """

    total: int
    by: dict[str, Rank]
    distinct: dict[str, int] = {}


class DerivedSet(Struct, frozen=True):
    """A set that follows from rows: the ids of a selection.

    ranked  (key, member) of the ranking whose score is its size; None: it must be counted
    """

    selection: Selection
    ranked: tuple[str, str] | None = None


class Family(Struct, frozen=True):
    """The derived sets whose names follow from the members of a ranking.

    head  the beginning of their names
    keys  returns the names for a member
    """

    head: str
    ranking: str
    keys: Callable[[str], tuple[str, ...]]


class RowCounts(NamedTuple):
    """How many of some rows each ranking and each tally counts: by key, by member."""

    rankings: Mapping[str, Mapping[str, int]]
    tallies: Mapping[str, Mapping[str, int]]


class Projection(Protocol):
    """What an engine must know to keep rows: which hashes have one, its cells, and what follows from them.

    prefix    the beginning of all keys
    head      the key of a hash with a row, without its id, and without the month in its hash tag
    families  all derived sets
    """

    @property
    def prefix(self) -> str: ...

    @property
    def head(self) -> str: ...

    @property
    def columns(self) -> tuple[Column, ...]: ...

    @property
    def families(self) -> tuple[Family, ...]: ...

    def cells(self, fields: Mapping[str, str]) -> Cells | None:
        """Return the row of a hash; None: it has none, because it is absent, not counted yet, or damaged."""
        ...

    def rows(self, hashes: Sequence[Mapping[str, str]]) -> Sequence[Cells | None]:
        """Return the row of each hash, see `cells`. Together, because it is faster column by column."""
        ...

    def counts(self, rows: Sequence[tuple[str, Cells]]) -> RowCounts:
        """Count some rows, each with the id of its hash. Together, because it is faster column by column."""
        ...

    def is_counted(self, key: str) -> bool:
        """Whether the key is that of a tally that counts rows."""
        ...

    def set_of(self, key: str) -> DerivedSet | None:
        """Return what a key holds if it is a set that follows from rows; None: it is not."""
        ...


RowsDone: TypeAlias = Callable[[int, int], None]
"""Called with the number of rows done, and their total."""


def no_progress(_done: int, _total: int) -> None:
    """Ignore progress."""


class Selected(Protocol):
    """The rows of a selection. Each method may be called once or several times, and reads the store then."""

    def newest(self, limit: int | None = None, progress: RowsDone = no_progress) -> Iterator[str]:
        """Return the ids of the rows, by (second, id) in reverse; at most `limit`."""
        ...

    def rank(
        self, most: Mapping[str, int | None], distinct: tuple[str, str] | None = None, progress: RowsDone = no_progress
    ) -> Ranks:
        """Count the tokens of several columns.

        most      for each column, how many tokens the answer lists; None: all
        distinct  (column, other): for each token of `column`, count the different tokens of `other`. Both have at most
                  one token a row
        """
        ...
