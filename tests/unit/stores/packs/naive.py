"""Answers to selections by one loop over all rows, to compare with."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from banledger.net.address import canonical_address
from banledger.stores.packs.pack import Key, Row
from banledger.stores.selection import Between, Column, Condition, Is, Rank, Ranks, Selection


def id_of(key: Key) -> str:
    """An id for a key."""
    return key.hex()


def second_of(key: Key) -> int:
    return int.from_bytes(key[:4], "big")


def _inside(token: str, cidr: str) -> bool:
    if canonical_address(token) != token:
        return False
    network, outer = ip_network(token), ip_network(cidr)
    return network.version == outer.version and network.subnet_of(outer)  # type: ignore[arg-type]


def _passes(condition: Condition, tokens: Sequence[str]) -> bool:
    if isinstance(condition, Is):
        return any(token in condition.tokens for token in tokens)
    if isinstance(condition, Between):
        low, high = condition.low, condition.high
        return any((low is None or low <= token) and (high is None or token <= high) for token in tokens)
    return any(_inside(token, condition.cidr) for token in tokens)


class NaiveRows:
    """See `selection.Selected`."""

    def __init__(self, columns: Sequence[Column], selection: Selection, rows: Sequence[Row]) -> None:
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._rows = sorted([row for row in rows if self._selected(selection, row)], reverse=True)

    def _tokens(self, row: Row, column: str) -> list[str]:
        return row[1][self._places[column]].split()

    def _selected(self, selection: Selection, row: Row) -> bool:
        second = second_of(row[0])
        return (
            (selection.since is None or second >= selection.since)
            and (selection.until is None or second < selection.until)
            and all(any(_passes(each, self._tokens(row, each.column)) for each in group) for group in selection.all_of)
        )

    def newest(self, limit: int | None = None) -> list[str]:
        return [id_of(key) for key, _ in self._rows][:limit]

    def rank(self, most: Mapping[str, int | None], distinct: tuple[str, str] | None = None) -> Ranks:
        by = {name: self._rank(name, count) for name, count in most.items()}
        found: dict[str, set[str]] = defaultdict(set)
        column, other = distinct or ("", "")
        for row in self._rows if distinct else ():
            for token in self._tokens(row, column):
                found[token].update(self._tokens(row, other))
        return Ranks(len(self._rows), by, {token: len(others) for token, others in found.items() if others})

    def _rank(self, column: str, most: int | None) -> Rank:
        counts = Counter(token for row in self._rows for token in set(self._tokens(row, column)))
        ranked = sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
        return Rank(tuple(ranked[:most]), len(counts), sum(counts.values()))
