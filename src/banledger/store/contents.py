"""All that a ledger holds, in pages: for what must see every key (check, copy, rebuild)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from banledger.keyspace import Keyspace
from banledger.store.engine import Hash, Reader, Scored
from banledger.store.pages import pages

_AT_ONCE = 10_000

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is (0: not known)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A `Progress` for nobody."""


def months(reader: Reader, keys: Keyspace) -> list[str]:
    """Every month (YYMM) that has keys, oldest first, whether or not the ledger's list has it."""
    listed = set(reader.members(keys.months))
    return sorted(listed | {key.partition("{")[2].partition("}")[0] for key in reader.keys(f"{keys.prefix}:{{*")})


def of_month(reader: Reader, keys: Keyspace, month: str) -> dict[str, list[str]]:
    """The keys of a month by what they are: `ban`, `gap`, `day`, `count`, `pending`, `outbox`."""
    found: dict[str, list[str]] = defaultdict(list)
    head = f"{keys.prefix}:{{{month}}}:"
    for key in reader.keys(head + "*"):
        found[key.removeprefix(head).partition(":")[0]].append(key)
    return found


def hashes(reader: Reader, listed: Iterable[str]) -> Iterator[tuple[str, Hash]]:
    """The id and the hash of each key; those that are gone meanwhile are left out."""
    for page in pages(listed):
        for key, fields in zip(page, reader.hashes(page), strict=True):
            if fields:
                yield key.rpartition(":")[2], fields


def entries(reader: Reader, key: str) -> Iterator[Scored]:
    """Every member of a sorted set with its score, highest first. Nothing may write to it meanwhile."""
    start = 0
    while page := reader.ranking(key, start, _AT_ONCE):
        yield from page
        start += len(page)


def sources(reader: Reader, keys: Keyspace) -> set[str]:
    """The tokens of all sources that have a hash or a list of active bans, whether or not the ledger's set has them."""
    heads = keys.source(""), keys.active_of("")
    return {key.removeprefix(head) for head in heads for key in reader.keys(head + "*")}


def indexes(keys: Keyspace) -> dict[str, Callable[[str], str]]:
    """Every index of hashes that lie in no month, with what makes a hash's key of its members."""
    return {keys.networks: keys.network, keys.cells: keys.cell}
