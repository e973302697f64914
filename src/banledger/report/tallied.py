"""Answer filtered queries from tallies, where possible."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

from banledger.ledger.dimensions import DAY, PAIRS, TABLE
from banledger.ledger.reader import LedgerReader
from banledger.report.query import Query
from banledger.stores.selection import Is

_SINGLE = frozenset(name for name, row in TABLE.items() if row.token)  # a ban has at most one value of each


def counts(
    ledger: LedgerReader, dimension: str, query: Query, days: Sequence[str]
) -> tuple[dict[str, int], int] | None:
    """Bans by value (token) of a dimension under the query's filters, and their total.

    None if no tally has the answer. `days`: the days of the query's span, which must be whole.
    """
    if (asked := _asked(query)) is None:
        return None
    pair = next((pair for pair in PAIRS if dimension in pair and asked.keys() <= set(pair)), None)
    if (members := _members(asked)) is None:
        return None
    tally, toks = members
    own = dimension == tally and dimension in _SINGLE
    if not (own or pair or dimension == DAY):
        return None
    rows = ledger.tally_of(tally, toks, days)
    if dimension == DAY:
        by_value = dict(zip(days, map(sum, rows), strict=True))
    elif own:
        by_value = dict(zip(toks, map(sum, zip(*rows, strict=True)), strict=False))
    else:
        by_value = _of_pairs(ledger, pair or (), dimension, asked, days)
    return {value: bans for value, bans in by_value.items() if bans}, sum(map(sum, rows))


def _asked(query: Query) -> dict[str, list[str]] | None:
    """The tokens of each filter; None: tokens alone don't say what a filter selects."""
    asked = {}
    for name, (first, *others) in query.conditions().items():
        if others or not isinstance(first, Is) or first.column != name:
            return None
        asked[name] = sorted(first.tokens)
    return asked


def _members(asked: Mapping[str, list[str]]) -> tuple[str, list[str]] | None:
    """The tally and its members that together count exactly the bans that pass the filters."""
    for pair in PAIRS:
        if asked.keys() == set(pair):
            return PAIRS[pair], ["|".join(toks) for toks in product(*(asked[name] for name in pair))]
    if len(asked) != 1:
        return None
    ((name, toks),) = asked.items()
    return (name, toks) if name in _SINGLE or len(toks) == 1 else None


def _of_pairs(
    ledger: LedgerReader, pair: tuple[str, ...], dimension: str, asked: Mapping[str, list[str]], days: Sequence[str]
) -> dict[str, int]:
    by_value: Counter[str] = Counter()
    for member, bans in ledger.tally(PAIRS[pair], days).items():
        toks = dict(zip(pair, member.split("|"), strict=False))
        if len(toks) == len(pair) and all(toks[name] in values for name, values in asked.items()):
            by_value[toks[dimension]] += bans
    return by_value
