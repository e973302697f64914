"""Find the values of a dimension with the most bans in a span: exactly, without fetching all values.

Theory of operation. All time: read the ranking. Few tallies: merge them. More, but not too many bans, and an engine
that has rows: count those. For a big dimension in any other long span, candidates come from two places: the best of
some days, which set a high bar early, and the all-time ranking from its top. Each candidate is counted exactly in the
span. A value can't have more bans in the span than of all time, so the walk down the ranking ends where its count
falls to that of the n-th candidate. Ties are in reverse order of names, as in the ranking itself, so the end is exact
even if thousands of values have one ban each.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import islice

from banledger.ledger.dimensions import DAY
from banledger.ledger.reader import LedgerReader
from banledger.stores.best import rank_of
from banledger.stores.selection import Between, Selection

Row = tuple[str, int]
"""A value (token) and its bans."""

_SMALL = frozenset({"country", "jail", "server", "hour"})
_MERGED_AT_MOST = 3_000_000
_ROWS_AT_MOST = 1_000_000
_CHUNK = 500
_SEEDED_DAYS = 31


def _order(row: Row) -> tuple[int, str]:
    return row[1], row[0]


def counts(ledger: LedgerReader, dimension: str, days: Sequence[str], everything: Mapping[str, int]) -> dict[str, int]:
    """Every value of a small dimension with its bans on these local days. See `top`."""
    if dimension != "hour" and len(days) == len(everything):
        return {tok: int(bans) for tok, bans in ledger.ranked(dimension)}
    return ledger.tally(dimension, days)


def top(
    ledger: LedgerReader, dimension: str, days: Sequence[str], count: int, everything: Mapping[str, int]
) -> tuple[list[Row], int | None]:
    """The `count` values with the most bans on these local days, and the number of values (None: not counted).

    `days` are those of a span that have bans; `everything`: the bans of every day that has any.
    """
    if dimension in _SMALL:
        table = counts(ledger, dimension, days, everything)
        return list(rank_of(table, count).rows), len(table)
    if len(days) == len(everything):
        rows = [(tok, int(bans)) for tok, bans in islice(ledger.ranked(dimension), count)]
        return rows, ledger.distinct(dimension)
    entries = bans = sum(everything[day] for day in days)  # usually one per ban, if all are different
    if entries > ledger.merge_limit:
        entries = sum(ledger.distinct_on(dimension, days))
    if entries <= ledger.merge_limit or not count:
        return _merge(ledger, dimension, days, count)
    if bans <= _ROWS_AT_MOST and (found := _by_rows(ledger, dimension, days, count)):
        return found
    outside = list(everything.keys() - days)
    descent = Descent(ledger, dimension, days, outside, count)
    descent.seed()
    if descent.cost() > entries and entries <= _MERGED_AT_MOST:
        return _merge(ledger, dimension, days, count)
    return descent.run(), None


def _merge(ledger: LedgerReader, dimension: str, days: Sequence[str], count: int) -> tuple[list[Row], int]:
    table = ledger.tally(dimension, days)
    return list(rank_of(table, count).rows), len(table)


def _by_rows(
    ledger: LedgerReader, dimension: str, days: Sequence[str], count: int
) -> tuple[list[Row], int | None] | None:
    """Count rows; None: the engine has none."""
    rows = ledger.store().select(Selection(((Between(DAY, min(days), max(days)),),)))
    if rows is None:
        return None
    rank = rows.rank({dimension: count}).by[dimension]
    return list(rank.rows), rank.distinct


class Descent:
    """The walk down the all-time ranking. See the module's theory of operation."""

    def __init__(
        self, ledger: LedgerReader, dimension: str, inside: Sequence[str], outside: Sequence[str], count: int
    ) -> None:
        self._ledger = ledger
        self._dimension = dimension
        self._inside = inside
        self._outside = outside
        self._count = count
        self._counted: set[str] = set()
        self._best: list[Row] = []

    def seed(self) -> None:
        """Count the best of some days, spread over the span."""
        step = max(1, len(self._inside) // _SEEDED_DAYS)
        found = {
            tok for day in self._inside[::-step] for tok in self._ledger.leaders(self._dimension, day, self._count)
        }
        self._add(sorted(found))

    def cost(self) -> int:
        """Estimated number of tally members that the walk will look up."""
        candidates = self._ledger.at_least(self._dimension, self._bar()[0] + 1)
        return candidates * min(len(self._inside), len(self._outside))

    def run(self) -> list[Row]:
        """The result, best first."""
        page: list[tuple[str, int]] = []
        for tok, bans in self._ledger.ranked(self._dimension):
            if (int(bans), tok) <= self._bar():
                break
            page.append((tok, int(bans)))
            if len(page) == _CHUNK:
                self._add([tok for tok, _ in page], dict(page))
                page = []
        self._add([tok for tok, _ in page], dict(page))
        return self._best

    def _bar(self) -> tuple[int, str]:
        """The count that a value must exceed to be among the best."""
        return _order(self._best[-1]) if len(self._best) == self._count else (0, "")

    def _add(self, toks: Iterable[str], of_all_time: Mapping[str, int] | None = None) -> None:
        new = [tok for tok in toks if tok not in self._counted]
        self._counted.update(new)
        rows = [row for row in zip(new, self._counts(new, of_all_time), strict=True) if row[1] > 0]
        self._best = nlargest(self._count, [*self._best, *rows], key=_order)

    def _counts(self, toks: Sequence[str], of_all_time: Mapping[str, int] | None) -> list[int]:
        """The bans of each value in the span, counted on the fewer days: inside or outside."""
        if not toks:
            return []
        if len(self._outside) >= len(self._inside):
            return _sum(self._ledger.tally_of(self._dimension, toks, self._inside), len(toks))
        whole = [of_all_time[tok] for tok in toks] if of_all_time else self._ledger.sizes(self._dimension, toks)
        others = _sum(self._ledger.tally_of(self._dimension, toks, self._outside), len(toks))
        return [one - other for one, other in zip(whole, others, strict=True)]


def _sum(rows: Sequence[Sequence[int]], width: int) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * width
