"""Scan all keys of a ledger, in pages. Used by check, copy and rebuild."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from math import inf
from typing import TypeVar

from banledger.ledger.key_table import kinds_of_keys
from banledger.ledger.keys import Keyspace
from banledger.ledger.months import is_month
from banledger.stores.api import Hash, Reader, Scored, StoreDetails
from banledger.stores.pages import pages
from banledger.stores.selection import Cells, Selected, Selection

_AT_ONCE = 10_000

_Found = TypeVar("_Found")


def months(reader: Reader, keys: Keyspace) -> list[str]:
    """Return every month (YYMM) with keys, oldest first, even if the ledger's list lacks it."""
    found = {key.partition("{")[2].partition("}")[0] for key in reader.keys(f"{keys.prefix}:{{*")}
    return sorted(month for month in found.union(reader.members(keys.months)) if is_month(month))


def of_month(reader: Reader, keys: Keyspace, month: str) -> dict[str, list[str]]:
    """Return the keys of a month by kind: `ban`, `gap`, `day`, `count`, `base`, `pending` …"""
    found: dict[str, list[str]] = defaultdict(list)
    head = keys.slot(month)
    for key in reader.keys(head + "*"):
        found[key.removeprefix(head).partition(":")[0]].append(key)
    return found


def hashes(reader: Reader, listed: Iterable[str]) -> Iterator[tuple[str, Hash]]:
    """Return the id and the hash of each key; keys that are gone meanwhile are left out."""
    return ((key.rpartition(":")[2], fields) for key, fields in hashes_by_key(reader, listed))


def hashes_by_key(reader: Reader, listed: Iterable[str]) -> Iterator[tuple[str, Hash]]:
    """Return each key with its hash; keys that are gone meanwhile are left out."""
    for page in pages(listed):
        for key, fields in zip(page, reader.hashes(page), strict=True):
            if fields:
                yield key, fields


def sources(reader: Reader, keys: Keyspace) -> set[str]:
    """Return the tokens of all sources with a hash or a list of active bans, even if the ledger's set lacks them."""
    heads = keys.source(""), keys.active_of("")
    return {key.removeprefix(head) for head in heads for key in reader.keys(head + "*")}


def indexes(keys: Keyspace) -> dict[str, Callable[[str], str]]:
    """Return the indexes of hashes outside months, each with a function from a member to the key of its hash."""
    return {keys.networks: keys.network, keys.cells: keys.cell}


class Without:
    """A reader that hides some keys. See `api.Reader`."""

    def __init__(self, reader: Reader, hidden: Container[str]) -> None:
        self._reader = reader
        self._hidden = hidden
        self.merge_limit = reader.merge_limit

    def _seen(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key not in self._hidden]

    def _each(self, keys: Sequence[str], ask: Callable[[list[str]], list[_Found]], none: _Found) -> list[_Found]:
        seen = self._seen(keys)
        found = dict(zip(seen, ask(seen), strict=True))
        return [found.get(key, none) for key in keys]

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        return self._each(keys, self._reader.hashes, {})

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> Iterator[list[str | None]]:
        none: list[str | None] = [None] * len(names)
        return iter(self._each(keys, lambda seen: list(self._reader.fields(seen, names)), none))

    def select(self, selection: Selection) -> Selected | None:
        return self._reader.select(selection)

    def rows(self) -> Iterator[tuple[str, Cells]] | None:
        return self._reader.rows()

    def members(self, key: str) -> Iterator[str]:
        return iter(()) if key in self._hidden else self._reader.members(key)

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        return self._each(keys, lambda seen: self._reader.sizes(seen, least), 0)

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        return self._reader.tally(seen) if (seen := self._seen(keys)) else {}

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        return self._each(keys, lambda seen: self._reader.scores(seen, members), [None] * len(members))

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        return [] if key in self._hidden else self._reader.ranking(key, start, count)

    def entries(self, key: str) -> Iterator[Scored]:
        return iter(()) if key in self._hidden else self._reader.entries(key)

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        return [] if key in self._hidden else self._reader.lowest(key, until, count, above)

    def details(self) -> StoreDetails:
        return self._reader.details()

    def kinds(self, keys: Sequence[str]) -> list[str]:
        return self._each(keys, self._reader.kinds, "none")

    def keys(self, pattern: str) -> Iterator[str]:
        return (key for key in self._reader.keys(pattern) if key not in self._hidden)

    def damage(self) -> Iterator[str]:
        return self._reader.damage()

    def close(self) -> None:
        self._reader.close()


def misshapen(reader: Reader, keys: Keyspace) -> dict[str, str]:
    """Return the keys of the ledger of a wrong type, with that type as Redis names it."""
    kind_of = kinds_of_keys(keys.prefix)
    found: dict[str, str] = {}
    for page in pages(reader.keys(f"{keys.prefix}:*"), _AT_ONCE):
        for key, holds in zip(page, reader.kinds(page), strict=True):
            kind = kind_of(key)
            if kind is not None and holds not in (kind.holds, "none"):
                found[key] = holds
    return found
