"""Longest-prefix match, cells, and what is believed of an address."""

import ipaddress
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.network import Cell, Network, Outcome, cell_of
from banledger.net.prefix import Block, block, blocks_between
from banledger.net.prefix_table import Table
from banledger.whois.cache import Cache

DAY_S = 86_400.0
NOW = 100 * DAY_S


def network(*cidrs: str, country: str = "DE", org: str = "Alpha") -> Network:
    """A record."""
    return Network(cidrs=cidrs, source="rdap", registry="ripe", fetched=NOW, country=country, org=org, asn=1)


def cell(cidr: str, asked: float = NOW, result: Outcome = Outcome.FOUND, **more: float) -> Cell:
    """What came of asking."""
    return Cell(cidr=cidr, asked=asked, result=result, **more)  # type: ignore[arg-type]


def cache(alike: bool = True) -> Cache:
    """An empty cache, 14 days fresh, with offline data that always or never agrees."""
    return Cache(14 * DAY_S, lambda _one, _other: alike)


def standing(known: Cache, address: str, now: float = NOW) -> str:
    """What is believed."""
    return known.find(block(address), now).standing


# The table.

_v4 = st.builds(lambda first, prefix: Block(4, first, 32).at(prefix), st.integers(0, 2**10), st.integers(20, 32))
_v6 = st.builds(lambda first, prefix: Block(6, first << 64, 128).at(prefix), st.integers(0, 2**10), st.integers(50, 64))


@given(st.dictionaries(st.one_of(_v4, _v6), st.integers(), max_size=40), st.one_of(_v4, _v6), st.randoms())
def test_the_longest_network_equals_an_exhaustive_search(entries: dict[Block, int], asked: Block, rng: Random) -> None:
    table: Table[int] = Table()
    for there, value in entries.items():
        table.put(there, value)
    for gone in rng.sample(sorted(entries, key=str), len(entries) // 3):
        table.remove(gone)
        del entries[gone]
    around = sorted((there for there in entries if there.covers(asked)), key=lambda there: -there.prefix)
    assert list(table.around(asked)) == [(there, entries[there]) for there in around]
    assert table.longest(asked) == ((around[0], entries[around[0]]) if around else None)
    assert len(table) == len(entries)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_range_is_the_fewest_blocks(one: int, other: int) -> None:
    first, last = sorted((one, other))
    blocks = list(blocks_between(str(ipaddress.IPv4Address(first)), str(ipaddress.IPv4Address(last))))
    assert blocks[0].first == first and blocks[-1].last == last
    assert all(before.last + 1 == after.first for before, after in pairwise(blocks))


def test_an_invalid_range_is_refused() -> None:
    with pytest.raises(ValueError):
        list(blocks_between("192.0.2.9", "192.0.2.1"))


# What an answer proves.


@pytest.mark.parametrize(
    ("asked", "network", "proven"),
    [
        ("192.0.2.7", "192.0.0.0/16", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.0/28", "192.0.2.0/28"),
        ("192.0.2.7", None, "192.0.2.0/24"),
        ("192.0.2.0/22", "192.0.0.0/16", "192.0.0.0/22"),
        ("2001:db8:1:2::7", "2001:db8::/32", "2001:db8:1::/48"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
    ],
)
def test_an_answer_proves_the_part_of_the_network_in_a_24_or_48(asked: str, network: str | None, proven: str) -> None:
    assert cell_of(block(asked), block(network) if network else None).cidr == proven


def test_a_proven_cell_answers_and_near_cells_inherit() -> None:
    known = cache()
    known.learn(network("192.0.0.0/16"))
    assert standing(known, "192.0.2.7") == "waiting"
    known.prove(cell("192.0.2.0/24", asn=5))
    assert standing(known, "192.0.2.250") == "proven"
    assert standing(known, "192.0.15.1") == "inherited"
    assert standing(known, "192.0.16.1") == "waiting"
    assert known.find(block("192.0.2.9"), NOW).asn == known.find(block("192.0.15.1"), NOW).asn == 5


def test_nothing_is_inherited_where_offline_data_disagrees() -> None:
    known = cache(alike=False)
    known.learn(network("192.0.0.0/16"))
    known.prove(cell("192.0.2.0/24"))
    assert standing(known, "192.0.3.1") == "waiting"


def test_nothing_is_inherited_from_another_record() -> None:
    known = cache()
    known.learn(network("192.0.0.0/16"))
    known.learn(network("192.0.4.0/23", org="Beta"))
    known.prove(cell("192.0.4.0/24"))
    assert standing(known, "192.0.5.1") == "inherited"
    assert standing(known, "192.0.7.1") == "waiting"


def test_a_record_of_several_networks_is_inherited_across_them() -> None:
    known = cache()
    known.learn(network("192.0.0.0/22", "192.0.4.0/23"))
    known.prove(cell("192.0.2.0/24"))
    assert known.find(block("192.0.5.1"), NOW).known == known.find(block("192.0.4.1"), NOW).known
    assert standing(known, "192.0.5.1") == "inherited"


def test_ipv6_cells_inherit_within_a_44() -> None:
    known = cache()
    known.learn(network("2001:db8::/32"))
    known.prove(cell("2001:db8:10::/48"))
    assert standing(known, "2001:db8:1f::1") == "inherited"
    assert standing(known, "2001:db8:20::1") == "waiting"


def test_a_smaller_network_that_is_learned_later_answers_for_its_addresses() -> None:
    known = cache()
    known.learn(network("192.0.0.0/16"))
    known.prove(cell("192.0.2.0/24"))
    known.learn(network("192.0.2.128/25", org="Beta"))
    known.prove(cell("192.0.2.128/25"))
    found = known.find(block("192.0.2.200"), NOW).known
    assert found is not None and (found.cidr, found.org) == ("192.0.2.128/25", "Beta")
    known.forget("192.0.2.128/25")
    found = known.find(block("192.0.2.200"), NOW).known
    assert found is not None and found.org == "Alpha"


def test_an_old_answer_is_stale_and_one_from_the_future_too() -> None:
    known = cache()
    known.learn(network("192.0.0.0/16"))
    known.prove(cell("192.0.2.0/24"))
    assert standing(known, "192.0.2.1", NOW + 14 * DAY_S - 1) == "proven"
    assert standing(known, "192.0.2.1", NOW + 14 * DAY_S) == "stale"
    assert standing(known, "192.0.2.1", NOW - 60) == "proven"
    assert standing(known, "192.0.2.1", NOW - DAY_S) == "stale"


def test_an_answer_without_network_holds_until_its_time() -> None:
    known = cache()
    known.prove(cell("192.0.2.0/24", result=Outcome.NONE, until=NOW + 10))
    assert standing(known, "192.0.2.1") == "none"
    assert standing(known, "192.0.2.1", NOW + 10) == "waiting"


def test_a_failure_sets_the_time_of_the_next_look_up() -> None:
    known = cache()
    known.prove(cell("192.0.2.0/24", result=Outcome.FAILED, until=NOW + 10, tries=2))
    found = known.find(block("192.0.2.1"), NOW)
    assert (found.standing, found.until, found.tries) == ("waiting", NOW + 10, 2)


@pytest.mark.parametrize("asked", ["2a00::/16", "2001:db8::/26", "10.0.0.0/8"])
def test_a_subnet_wider_than_the_near_range_inherits_nothing(asked: str) -> None:
    known = cache()
    for there in ("2000::/3", "10.0.0.0/8"):
        known.learn(network(there))
    known.prove(cell("2001:db8::/48"))
    assert standing(known, asked) == "waiting"


def test_a_cell_without_announcement_has_no_system() -> None:
    known = cache()
    known.learn(network("192.0.0.0/16"))
    known.prove(cell("192.0.2.0/24"))
    assert known.find(block("192.0.2.1"), NOW).asn is None


def test_a_subnet_is_answered_by_a_network_around_all_of_it() -> None:
    known = cache()
    known.learn(network("192.0.0.0/16"))
    known.learn(network("192.0.2.0/24", org="Beta"))
    known.prove(cell("192.0.2.0/23"))
    found = known.find(block("192.0.2.0/23"), NOW)
    assert found.standing == "proven" and found.known is not None and found.known.org == "Alpha"
