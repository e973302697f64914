"""The rows of a selection, from recent rows and packs. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import compress, islice
from typing import Protocol

from banledger.stores.packs.distinct import Distinct
from banledger.stores.packs.pack import Key
from banledger.stores.packs.sources import Packed, Passing, Recent, RecentRows, RowSieve, RowSource
from banledger.stores.packs.tally import Room, Tally
from banledger.stores.selection import Column, Ranks, RowsDone, Selection, no_progress

__all__ = ["Packed", "Recent", "SelectedRows"]

_ROOM = Room()
_ROWS_AT_ONCE = 2_000_000
"""Of more rows, ranks and different tokens are counted one after the other: both keep rows in memory."""


class _Question(Protocol):
    """What is counted of the rows that pass."""

    def add(self, passing: Passing) -> None:
        """Count some rows."""
        ...

    def end_pass(self) -> bool:
        """Return whether all is counted; if not, all rows are to be added again."""
        ...


class SelectedRows:
    """See `selection.Selected`.

    sources  returns recent rows (any number of `Recent`) and packs, in any order. Called once by each method
    id_of    returns the id of a key
    room     how much is kept in memory at once

    Methods raise `DamagedPack`, and what loading a part raises.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        selection: Selection,
        sources: Callable[[], Iterable[Recent | Packed]],
        id_of: Callable[[Key], str],
        room: Room = _ROOM,
    ) -> None:
        self._columns = columns
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._sieve = RowSieve(columns, selection)
        self._sources = sources
        self._id_of = id_of
        self._room = room

    def newest(self, limit: int | None = None, progress: RowsDone = no_progress) -> Iterator[str]:
        """See Selected.newest."""
        sources = self._sieve.sources(self._sources())
        sources.sort(key=lambda source: source.high, reverse=True)
        done = _Progress(sources, progress)
        packs = [source for source in sources if not isinstance(source.rows, RecentRows)]
        recent = [source for source in sources if isinstance(source.rows, RecentRows)]
        keys = merge(self._keys(packs, done), *[self._keys([source], done) for source in recent], reverse=True)
        return map(self._id_of, islice(keys, limit))

    def _keys(self, sources: Iterable[RowSource], done: "_Progress") -> Iterator[Key]:
        """Return the keys of rows that pass in reverse, from sources of which each is older than the one before."""
        for source in sources:
            passing = self._sieve.passing(source)
            done.add(source)
            if passing:
                yield from compress(reversed(source.rows.keys()), reversed(passing.mask))

    def rank(
        self, most: Mapping[str, int | None], distinct: tuple[str, str] | None = None, progress: RowsDone = no_progress
    ) -> Ranks:
        """See Selected.rank."""
        sources = self._sieve.sources(self._sources())
        ranked = {
            name: _RankQuestion(self._places[name], self._columns, count, self._room) for name, count in most.items()
        }
        pairs = (
            [_DistinctQuestion(self._places[distinct[0]], self._places[distinct[1]], self._room)] if distinct else []
        )
        small = sum([source.rows.rows for source in sources]) <= _ROWS_AT_ONCE
        runs: list[list[_Question]] = [[*ranked.values(), *pairs]] if small else [[*ranked.values()], [*pairs]]
        done = _Progress(sources, progress, passes=1 if small or not pairs else 2)
        total = self._count(sources, runs[0], done)
        for questions in runs[1:]:
            if questions:
                self._count(sources, questions, done)
        found = {name: question.tally.rank() for name, question in ranked.items()}
        return Ranks(total, found, pairs[0].distinct.found() if pairs else {})

    def _count(self, sources: Sequence[RowSource], questions: Sequence[_Question], done: "_Progress") -> int:
        """Answer questions in as many passes as they need. Returns the number of rows that pass."""
        total = 0
        for source in sources:
            if passing := self._sieve.passing(source):
                total += passing.mask.count(1)
                for question in questions:
                    question.add(passing)
            done.add(source)
        unanswered = [question for question in questions if not question.end_pass()]
        if unanswered:
            self._count(sources, unanswered, done)
        return total


class _RankQuestion:
    """The question for the rank of a column."""

    def __init__(self, place: int, columns: Sequence[Column], most: int | None, room: Room) -> None:
        self._place = place
        self.tally = Tally(most, room, several=columns[place].several)

    def add(self, passing: Passing) -> None:
        self.tally.add(passing.column(self._place).counts(passing.mask))

    def end_pass(self) -> bool:
        return self.tally.end_pass()


class _DistinctQuestion:
    """The question for the different tokens of a column by the tokens of another."""

    def __init__(self, place: int, other: int, room: Room) -> None:
        self._place, self._other = place, other
        self.distinct = Distinct(room)

    def add(self, passing: Passing) -> None:
        self.distinct.add(passing.column(self._place), passing.column(self._other), passing.mask)

    def end_pass(self) -> bool:
        return self.distinct.end_pass()


class _Progress:
    """Reports how many rows of some sources are done. Passes beyond `passes` are not reported."""

    def __init__(self, sources: Iterable[RowSource], progress: RowsDone, passes: int = 1) -> None:
        self._report = progress
        self._total = sum([source.rows.rows for source in sources]) * passes
        self._done = 0

    def add(self, source: RowSource) -> None:
        """Report one more source as done."""
        self._done = min(self._done + source.rows.rows, self._total)
        self._report(self._done, self._total)
