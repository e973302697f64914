"""Read bans one by one, newest first, for answers that no tally has.

Theory of operation. Ids contain their time, so sorting ids sorts bans. A walk reads the days of the span, newest first,
or the sets of one filter's values if that needs fewer hashes. It reads hashes in pages and yields matches as it goes,
so a caller that needs only the newest stops early.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import product

from banledger.ledger.ban import Ban
from banledger.ledger.dimensions import FILTERS, PAIRS, TABLE
from banledger.ledger.progress import Progress, silent
from banledger.ledger.reader import LedgerReader
from banledger.report.query import Query, Span
from banledger.stores.pages import pages

_HASH_COST = 20  # cost of a hash in units of an id
_MOST_IDS = 2_000_000  # ids of a set held in memory


def days_in(span: Span, everything: Mapping[str, int]) -> dict[str, int]:
    """The days of `everything` in the span. A day with an exact end counts as whole."""
    return {day: bans for day, bans in everything.items() if span.holds_day(day)}


def walk(
    ledger: LedgerReader,
    query: Query,
    limit: int | None = None,
    progress: Progress = silent,
    everything: Mapping[str, int] | None = None,
) -> Iterator[Ban]:
    """Yield the bans that match `query`, by (time, id) in reverse; at most `limit`.

    `everything`: the number of bans of every day with bans, if known.
    """
    if limit == 0:
        return
    matches = _matcher(query)
    done = found = 0
    pages, total = _pages(ledger, query, limit, ledger.days() if everything is None else everything)
    for page in pages:
        for ban in ledger.bans(page):
            if ban is not None and matches(ban):
                yield ban
                found += 1
                if found == limit:
                    return
        done += len(page)
        progress("bans", min(done, total), total)


def _matcher(query: Query) -> Callable[[Ban], bool]:
    """A predicate: whether a ban matches the query."""
    span, filters = query.span, [_test(name, values) for name, values in query.filters.items()]
    return lambda ban: span.holds(ban.day, ban.time) and all(test(ban) for test in filters)


def _test(name: str, values: Sequence[str]) -> Callable[[Ban], bool]:
    tokens, toks = TABLE[name].tokens, frozenset(map(TABLE[name].token_of, values))
    wide = [test for value in values if (test := FILTERS[name].wide(value))]
    return lambda ban: not toks.isdisjoint(tokens(ban)) or any(test(ban) for test in wide)


def _pages(
    ledger: LedgerReader, query: Query, limit: int | None, everything: Mapping[str, int]
) -> tuple[Iterator[Sequence[str]], int]:
    """The ids to read, newest first, and their approximate number."""
    days = days_in(query.span, everything)
    inside = sum(days.values())
    found = _smallest_set(ledger, query)
    if found is not None and found[0] <= _MOST_IDS:
        size, dimension, toks = found
        wanted = size * inside // max(1, sum(everything.values()))
        wanted_of_days = inside
        if limit is not None:
            wanted_of_days = min(inside, limit * max(1, inside) // max(1, wanted))
            wanted = min(wanted, limit)
        if size + _HASH_COST * wanted < _HASH_COST * wanted_of_days:
            ids = _within({id_ for tok in toks for id_ in ledger.ids(dimension, tok)}, query.span)
            return pages(ids), len(ids)
    return _by_day(ledger, list(days)), inside


def _smallest_set(ledger: LedgerReader, query: Query) -> tuple[int, str, list[str]] | None:
    """The indexed filter, or pair of filters, with the fewest ids: their number, its dimension, its tokens."""
    asked = {
        name: list(dict.fromkeys(map(TABLE[name].token_of, values)))
        for name, values in query.filters.items()
        if not any(map(FILTERS[name].wide, values))
    }
    both = {name: pair for pair, name in PAIRS.items() if asked.keys() >= set(pair)}
    asked |= {name: ["|".join(toks) for toks in product(*map(asked.__getitem__, both[name]))] for name in both}
    found = [(sum(ledger.sizes(name, toks)), name, toks) for name, toks in asked.items() if TABLE[name].indexed]
    return min(found, default=None)


def age_order(id_: str) -> tuple[bool, str]:
    """Sort key of an id by time: years have two digits, and fail2ban's clock starts in 1970."""
    return id_ < "7", id_


def newest_first(ids: Sequence[str] | set[str]) -> list[str]:
    """Ids by time in reverse."""
    return sorted(ids, key=age_order, reverse=True)


def _within(ids: set[str], span: Span) -> list[str]:
    """The ids that may lie in the span, newest first; a local day overlaps its UTC neighbours."""
    low = _day_digits(span.first, -1) if span.first else (False, "")
    high = _day_digits(span.last, +1) if span.last else (True, "7")
    return newest_first({id_ for id_ in ids if low <= age_order(id_[:6]) <= high})


def _day_digits(day: str, offset: int) -> tuple[bool, str]:
    moved = date.fromisoformat(day) + timedelta(days=offset)
    return age_order(f"{moved.year % 100:02d}{moved.month:02d}{moved.day:02d}")


def _by_day(ledger: LedgerReader, days: Sequence[str]) -> Iterator[Sequence[str]]:
    for day in reversed(days):
        yield from pages(newest_first(ledger.ids_of_day(day)))
