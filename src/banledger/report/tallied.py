"""Answer filtered queries from tallies, where possible."""

from collections.abc import Sequence

from banledger.ledger.dimensions import DAY, TABLE
from banledger.ledger.reader import LedgerReader
from banledger.report.query import PRIVATE, Query

PAIR = "jail+country"
_SINGLE = frozenset(name for name, row in TABLE.items() if row.token)  # a ban has at most one value of each


def offenders(ledger: LedgerReader, days: Sequence[str]) -> dict[str, int]:
    """The number of addresses and networks of each of these local days."""
    return dict(zip(days, ledger.distinct_on("ip", days), strict=True))


def counts(
    ledger: LedgerReader, dimension: str, query: Query, days: Sequence[str]
) -> tuple[dict[str, int], int] | None:
    """Bans by value (token) of a dimension under the query's filters, and their total.

    None if no tally has the answer. `days`: the days of the query's span, which must be whole.
    """
    filters = query.filters
    members = _members(filters)
    if members is None:
        return None
    tally, toks = members
    asked = set(filters)
    if dimension == DAY:
        by_day = ledger.tally_of(tally, toks, days)
        table = {day: sum(row) for day, row in zip(days, by_day, strict=True) if sum(row)}
        return table, sum(table.values())
    if dimension == tally and dimension in _SINGLE:
        by_value = _sums(ledger, tally, toks, days)
        return by_value, sum(by_value.values())
    if dimension in ("jail", "country") and asked <= {"jail", "country"}:
        return _of_pairs(ledger, dimension, query, days)
    return None


def _members(filters: dict[str, tuple[str, ...]]) -> tuple[str, list[str]] | None:
    """The tally and its members that together count exactly the bans that pass the filters."""
    if PRIVATE in filters.get("country", ()) or any("/" in text for text in filters.get("ip", ())):
        return None
    toks = {name: list(dict.fromkeys(map(TABLE[name].token_of, values))) for name, values in filters.items()}
    if set(toks) == {"jail", "country"}:
        return PAIR, [f"{jail}|{country}" for jail in toks["jail"] for country in toks["country"]]
    if len(toks) != 1:
        return None
    ((name, values),) = toks.items()
    return (name, values) if name in _SINGLE or len(values) == 1 else None


def _sums(ledger: LedgerReader, tally: str, toks: Sequence[str], days: Sequence[str]) -> dict[str, int]:
    rows = ledger.tally_of(tally, toks, days)
    return {tok: bans for tok, column in zip(toks, zip(*rows, strict=True), strict=False) if (bans := sum(column))}


def _of_pairs(ledger: LedgerReader, dimension: str, query: Query, days: Sequence[str]) -> tuple[dict[str, int], int]:
    jails = set(map(TABLE["jail"].token_of, query.jail))
    by_value: dict[str, int] = {}
    pairs = ledger.tally(PAIR, days)
    for member, bans in pairs.items():
        jail, _, country = member.rpartition("|")
        if (not jails or jail in jails) and (not query.country or country in query.country):
            value = jail if dimension == "jail" else country
            by_value[value] = by_value.get(value, 0) + bans
    total = sum(by_value.values())
    if not query.country:  # pairs lack bans without country
        total = sum(map(sum, ledger.tally_of("jail", sorted(jails), days)))
    return by_value, total
