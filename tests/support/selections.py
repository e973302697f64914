"""Selections of bans, and what they mean said a second time: over whole bans, one by one."""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from banledger.geo.place import Place
from banledger.ledger.ban import PENDING, Ban
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tokens import token
from banledger.stores.selection import Between, Condition, Is, Rank, Selection, Within
from tests.support.lines import T0, ban, unban

DAY_S = 86_400
COLUMNS = ("jail", "country", "ip", "id", "network", "asn", "org", "server", "user", "hour", "day", "scope")

TOKENS = {
    "jail": ("sshd", "a%7Cb%20%25", "none", ""),
    "country": ("CN", "DE", "XX"),
    "ip": ("192.0.2.1", "2.0.0.1", "192.0.2.128/25"),
    "id": ("some%20user",),
    "network": ("2.0.0.0/8",),
    "asn": ("64500", "64501"),
    "org": ("Org%202",),
    "server": ("web1", "web2"),
    "user": ("root", "a%20b", "é"),
    "hour": ("00", "12"),
    "scope": ("private", "public", "none"),
    "day": ("2026-11-24", "2026-11-30"),
}

LINES = st.builds(
    ban,
    fid=st.sampled_from(
        ["192.0.2.1", "192.0.2.2", "192.0.2.128/25", "2.0.0.1", "10.0.0.1", "2001:db8::1", "3.0.0.1", "some user"]
    ),
    time=st.integers(0, 16).map(lambda n: T0 + n * DAY_S // 2),  # crosses a month's edge
    jail=st.sampled_from(["sshd", "a|b %"]),
    server=st.sampled_from(["web1", "web1", "web2"]),
    users=st.lists(st.sampled_from(["root", "a b", "é"]), unique=True, max_size=2).map(tuple),
)
AMENDMENTS = st.builds(unban, fid=st.just("198.51.100.7"), time=st.integers(0, 3).map(lambda n: T0 + n * DAY_S))
"""Of bans that never came."""

_conditions: st.SearchStrategy[Condition] = st.one_of(
    st.sampled_from(COLUMNS).flatmap(
        lambda name: st.builds(Is, st.just(name), st.frozensets(st.sampled_from(TOKENS[name]), min_size=1))
    ),
    st.builds(
        Between,
        st.sampled_from(["day", "day", "hour", "country"]),
        st.none() | st.sampled_from(["11", "2026-11-24", "CN"]),
        st.none() | st.sampled_from(["2026-11-28", "DE", "20"]),
    ),
    st.builds(Within, st.just("ip"), st.sampled_from(["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "192.0.2.1/32"])),
    st.builds(Within, st.just("network"), st.just("2.0.0.0/7")),
)
_seconds = (
    st.none() | st.integers(-1, 17).map(lambda n: T0 + n * DAY_S / 2) | st.sampled_from([0.0, -5.0, 3.2e9, T0 + 0.5])
)
SELECTIONS = st.builds(
    Selection,
    st.lists(st.lists(_conditions, min_size=1, max_size=2).map(tuple), max_size=3).map(tuple),
    _seconds,
    _seconds,
)


def place(address: str | None, _time: float) -> Place:
    """A country, network, system and owner by the first byte; 10.* is private, 3.* waits for whois."""
    if address is None:
        return Place("none")
    if address.startswith("10."):
        return Place("private")
    country = ("CN", "DE", "XX")[ord(address[0]) % 3]
    if address.startswith("3."):
        return Place("public", country, "test", whois="waiting")
    network, asn = f"{address[0]}.0.0.0/8" if "." in address else "2000::/8", 64500 + ord(address[0]) % 2
    return Place("public", country, "test", network, asn, f"Org {address[0]}", "proven")


def tokens(one: Ban, column: str) -> tuple[str, ...]:
    """The tokens that a ban has in a column, said apart from the tables of the ledger."""
    if column == "user":
        return tuple(token(user) for user in one.users)
    if column == "id":
        return (token(one.fid),) if one.fid != one.ip else ()
    if column == "hour":
        return (f"{one.hour:02d}",)
    value = getattr(one, column)
    if value is None:
        return ()
    return (token(str(value)),) if column in ("jail", "server", "org", "asn") else (value,)


def selected(bans: Iterable[Ban], selection: Selection) -> list[Ban]:
    """The bans of a selection, newest first."""
    found = [one for one in bans if one.origin != PENDING and _is_in(one, selection)]
    return sorted(found, key=lambda one: (one.time, one.id), reverse=True)


def _is_in(one: Ban, selection: Selection) -> bool:
    return (
        (selection.since is None or one.time >= selection.since)
        and (selection.until is None or one.time < selection.until)
        and all(any(_passes(one, condition) for condition in group) for group in selection.all_of)
    )


def _passes(one: Ban, condition: Condition) -> bool:
    there = tokens(one, condition.column)
    if isinstance(condition, Is):
        return bool({*there} & condition.tokens)
    if isinstance(condition, Between):
        low, high = condition.low, condition.high
        return any((low is None or low <= text) and (high is None or text <= high) for text in there)
    outer: Any = ipaddress.ip_network(condition.cidr)
    inner: list[Any] = [ipaddress.ip_network(text) for text in there]
    return any(network.version == outer.version and network.subnet_of(outer) for network in inner)


def rank(bans: Iterable[Ban], column: str, most: int | None) -> Rank:
    """The rank of a column."""
    counts = Counter(tok for one in bans for tok in tokens(one, column))
    rows = sorted(counts.items(), key=lambda row: (row[1], row[0]), reverse=True)
    return Rank(tuple(rows[:most]), len(counts), counts.total())


def distinct(bans: Iterable[Ban], column: str, other: str) -> dict[str, int]:
    """For each token of one column, the number of different tokens of the other."""
    pairs = {(first, second) for one in bans for first in tokens(one, column) for second in tokens(one, other)}
    return dict(Counter(first for first, _ in pairs))


def all_bans(ledger: LedgerReader) -> list[Ban]:
    """Every sound ban, whatever the indexes say."""
    ids = [key.rpartition(":")[2] for key in ledger.store().keys("bans:*:ban:*")]
    return [one for one in ledger.bans(ids) if one is not None]
