"""Find the ids that may pass a selection: as few as one index has, newest first. The hashes decide.

Theory of operation. Ids contain their time, so sorting ids sorts bans. They come from the days of the span, newest
first, a day at a time; or, if that needs fewer hashes, from the sets of the tokens of one group of conditions, whose
union must be sorted and so is in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil

from msgspec import Struct

from banledger.ledger.dimensions import DAY, INDEXED
from banledger.ledger.ids import age_order, beginning, newest_first
from banledger.ledger.reader import LedgerReader
from banledger.spool.events import TICKETS_END
from banledger.stores.conditions import CellTest, cell_test
from banledger.stores.selection import Is, Selection

_HASH_COST = 10  # cost of a hash's fields in units of an id
_FEW_IDS = 250_000  # ids of a union that may always be in memory
_SAVES = 8  # more may be there if the days have so many times as many,
_MOST_IDS = 2_000_000  # up to this


class Candidates(Struct, frozen=True):
    """Ids, newest first, and their approximate number."""

    ids: Iterator[str]
    total: int


def candidates(
    ledger: LedgerReader, selection: Selection, limit: int | None, everything: Mapping[str, int]
) -> Candidates:
    """Return the ids of bans that may pass. `limit`: only so many of those that pass are wanted.

    `everything`: the number of bans of every day with bans.
    """
    tests = _tests_of_days(selection)
    days = [day for day in everything if all(test(day) for test in tests)]
    inside = sum(map(everything.__getitem__, days))
    found = smallest(ledger, selection)
    if found is not None and found[0] <= min(_MOST_IDS, max(_FEW_IDS, inside // _SAVES)):
        size, conditions = found
        wanted = size * inside // max(1, sum(everything.values()))
        wanted_of_days = inside
        if limit is not None:
            wanted_of_days = min(inside, limit * max(1, inside) // max(1, wanted))
            wanted = min(wanted, limit)
        if size + _HASH_COST * wanted < _HASH_COST * wanted_of_days:
            ids = _within(newest_first(_union(ledger, conditions)), selection)
            return Candidates(iter(ids), len(ids))
    return Candidates(_by_day(ledger, days, selection), inside)


def _tests_of_days(selection: Selection) -> list[CellTest]:
    """The tests that the local day of every ban must pass."""
    alone = [group[0] for group in selection.all_of if len(group) == 1]
    return [cell_test(one, several=False) for one in alone if one.column == DAY]


def smallest(ledger: LedgerReader, selection: Selection) -> tuple[int, list[Is]] | None:
    """Return the number of ids of the group with the fewest, and its conditions: tokens of indexed dimensions."""
    found = []
    for number, group in enumerate(selection.all_of):
        indexed = [one for one in group if isinstance(one, Is) and one.column in INDEXED]
        if len(indexed) == len(group):
            found.append((sum(sum(ledger.sizes(one.column, sorted(one.tokens))) for one in indexed), number, indexed))
    return min(found)[::2] if found else None


def _union(ledger: LedgerReader, conditions: Iterable[Is]) -> set[str]:
    return {id_ for one in conditions for tok in one.tokens for id_ in ledger.ids(one.column, tok)}


def _by_day(ledger: LedgerReader, days: Sequence[str], selection: Selection) -> Iterator[str]:
    for day in reversed(days):
        yield from _within(ledger.ids_of_day(day), selection)


def _within(ids: list[str], selection: Selection) -> list[str]:
    """The ids, newest first, whose second lies in the selection's bounds."""
    low, high = _bounds(selection)
    if not ids or (low <= age_order(ids[-1]) and age_order(ids[0]) < high):
        return ids
    return [id_ for id_ in ids if low <= age_order(id_) < high]


def _bounds(selection: Selection) -> tuple[tuple[bool, str], tuple[bool, str]]:
    """The order of the first id inside, and of the first beyond. See `ids.age_order`."""
    since, until = selection.since, selection.until
    low = age_order(beginning(min(ceil(since), TICKETS_END))) if since is not None and since > 0 else (False, "")
    high = age_order(beginning(max(ceil(until), 0))) if until is not None and until < TICKETS_END else (True, "7")
    return low, high
