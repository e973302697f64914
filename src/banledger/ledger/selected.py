"""Answer questions with any mix of filters.

Theory of operation. An engine that keeps rows beside its hashes answers from them; if the selection needs a rare token,
tallies tell the few days on which to look. For all others the hashes of the
candidates are read, newest first: only the fields that the question needs, in blocks, while the server works on the
next page. Memory holds a block, what is counted, and the offenders of the last days.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf

from msgspec.structs import replace

from banledger.ledger.candidates import candidates, smallest
from banledger.ledger.dimensions import DAY
from banledger.ledger.projection import COLUMN
from banledger.ledger.reader import LedgerReader
from banledger.ledger.sieve import Passed, Sieve
from banledger.stores.best import rank_of
from banledger.stores.pages import pages
from banledger.stores.selection import Is, Rank, Ranks, RowsDone, Selected, Selection, no_progress

_PAGE = 500  # rows: they fit into a processor's cache
_FIRST_BLOCK = 500  # ids; a caller may need the newest only
_LAST_BLOCK = 8000
_OPEN_DAYS = 4  # local days are in the order of time, but for an hour when clocks are set back over midnight


def select(ledger: LedgerReader, selection: Selection, everything: Mapping[str, int] | None = None) -> Selected:
    """Return the rows of a selection. Damaged hashes are left out, see `LedgerReader.damaged_keys`.

    `everything`: the number of bans of every day with bans, if known.
    """
    found = ledger.store().select(selection)
    everything = ledger.days() if everything is None else everything
    if found is None:
        return SelectedHashes(ledger, selection, everything)
    rare = _days_of_rare(ledger, selection, everything)
    narrow = replace(selection, all_of=((rare,), *selection.all_of)) if rare else selection
    return ledger.store().select(narrow) or found


def _days_of_rare(ledger: LedgerReader, selection: Selection, everything: Mapping[str, int]) -> Is | None:
    """The days on which the rarest tokens of a selection have bans, by their tallies; None: no token is rare."""
    size, conditions = smallest(ledger, selection) or (inf, [])
    if size >= len(everything):
        return None
    days = list(everything)
    found = [
        day
        for one in conditions
        for day, bans in zip(days, ledger.tally_of(one.column, sorted(one.tokens), days), strict=True)
        if any(bans)
    ]
    return Is(DAY, frozenset(found))


class SelectedHashes:
    """See `selection.Selected`: the rows of bans, read from their hashes."""

    def __init__(self, ledger: LedgerReader, selection: Selection, everything: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._selection = selection
        self._everything = everything

    def newest(self, limit: int | None = None, progress: RowsDone = no_progress) -> Iterator[str]:
        """See Selected.newest."""
        left = limit
        for block in self._blocks((), limit, progress):
            ids = [id_ for page in block for id_ in page.ids][:left]
            yield from ids
            left = None if left is None else left - len(ids)
            if left == 0:
                return

    def rank(
        self, most: Mapping[str, int | None], distinct: tuple[str, str] | None = None, progress: RowsDone = no_progress
    ) -> Ranks:
        """See Selected.rank."""
        total, columns = 0, list(dict.fromkeys((*most, *(distinct or ()))))
        counts = {name: _Counts(name) for name in columns}
        pairs = _Pairs()
        for block in self._blocks(columns, None, progress):
            for page in block:
                total += len(page.ids)
                cells = dict(zip(columns, page.cells, strict=True))
                for name in most:
                    counts[name].add(cells[name])
                if distinct:
                    pairs.add(cells[distinct[0]], cells[distinct[1]], distinct[0] == DAY)
        return Ranks(total, {name: counts[name].rank(limit) for name, limit in most.items()}, pairs.counts())

    def _blocks(self, columns: Iterable[str], limit: int | None, progress: RowsDone) -> Iterator[Iterator[Passed]]:
        """Yield the pages of each block of candidates. Take all pages of a block before the next block."""
        sieve = Sieve(self._selection.all_of, columns)
        found = candidates(self._ledger, self._selection, limit, self._everything)
        size, done = _FIRST_BLOCK, 0
        while block := list(islice(found.ids, size)):
            unsound: list[str] = []
            yield self._pages(block, sieve, unsound)
            if unsound:
                self._ledger.bans(unsound)  # notes why
            size, done = min(2 * size, _LAST_BLOCK), done + len(block)
            progress(min(done, found.total), found.total)

    def _pages(self, ids: Sequence[str], sieve: Sieve, unsound: list[str]) -> Iterator[Passed]:
        keys = list(map(self._ledger.keys.ban, ids))
        rows = self._ledger.store().fields(keys, sieve.fields)
        for some, page in zip(pages(rows, _PAGE), pages(ids, _PAGE), strict=True):
            passed = sieve.passed(page, some)
            unsound += passed.unsound
            yield passed


class _Counts(Counter[str]):
    """The rows of each token of a column."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._several = COLUMN[name].several

    def add(self, cells: Iterable[str]) -> None:
        """Count more rows."""
        if not self._several:
            self.update(cells)
            return
        for cell, rows in Counter(cells).items():
            for tok in set(cell.split()):
                self[tok] += rows

    def rank(self, most: int | None) -> Rank:
        """Return the result."""
        self.pop("", None)  # rows without a token
        return rank_of(self, most)


class _Pairs:
    """For each token of one column, the different tokens of another."""

    def __init__(self) -> None:
        self._open: dict[str, set[str]] = defaultdict(set)
        self._closed: Counter[str] = Counter()

    def add(self, cells: Iterable[str], others: Iterable[str], by_time: bool) -> None:
        """Count more rows. `by_time`: rows come in reverse order of the cells; forget those that are over."""
        for cell, other in zip(cells, others, strict=True):
            self._open[cell].add(other)
        if by_time and len(self._open) > _OPEN_DAYS:
            for day in sorted(self._open)[_OPEN_DAYS:]:
                self._close(day)

    def _close(self, cell: str) -> None:
        self._closed[cell] += len(self._open.pop(cell) - {""})

    def counts(self) -> dict[str, int]:
        """Return the number of different tokens of each."""
        for cell in list(self._open):
            self._close(cell)
        return {cell: number for cell, number in self._closed.items() if cell and number}
