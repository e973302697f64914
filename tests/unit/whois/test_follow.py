"""Following the indexes of networks and cells: everything at first, then what is new, whatever order it comes in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.ledger.keys import Keyspace
from banledger.ledger.network import Cell, Network, Outcome
from banledger.ledger.networks import Networks, NetworksReader
from banledger.whois import follow
from banledger.whois.follow import Followers
from tests.support.reference import ReferenceEngine, Store

KEYS = Keyspace("bans")
T0 = 1_000_000.0


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_PAGE", 3)


class Reader:
    """One that follows, and what it was told."""

    def __init__(self) -> None:
        self.networks: list[str] = []
        self.cells: list[str] = []
        self.followers = Followers(
            lambda _, cidrs: self.networks.extend(cidrs), lambda _, cidrs: self.cells.extend(cidrs)
        )

    def read_all(self, there: NetworksReader, now: float = T0 + 100) -> int:
        """Until there is no more; in how many steps."""
        for steps in range(1, 1000):
            if self.followers.read(there, now):
                return steps
        raise AssertionError("it never ends")


def networks() -> Networks:
    return Networks(ReferenceEngine(Store(), KEYS.entries_of), KEYS)


def put(there: Networks, number: int, moment: float) -> str:
    """A network with a cell; its CIDR."""
    cidr = f"10.{number >> 8}.{number & 255}.0/24"
    network = Network(cidrs=(cidr,), source="rdap", registry="ripe", fetched=moment)
    there.put([network], [Cell(cidr=cidr, asked=moment, result=Outcome.FOUND)], moment)
    return cidr


def test_all_entries_are_read_page_by_page_networks_before_cells() -> None:
    there, reader = networks(), Reader()
    known = {put(there, number, T0 + number) for number in range(20)}
    assert not reader.followers.read(there, T0 + 100) and len(reader.networks) == 3 and reader.cells == []
    assert reader.read_all(there) > 5
    assert set(reader.networks) == set(reader.cells) == known
    assert len(reader.networks) == 20


def test_new_entries_come_once_and_rewritten_ones_again() -> None:
    there, reader = networks(), Reader()
    for number in range(10):
        put(there, number, T0 + number)
    reader.read_all(there)
    reader.networks.clear()
    assert reader.read_all(there) == 1 and reader.networks == []
    new, again = put(there, 11, T0 + 50), put(there, 3, T0 + 51)
    assert reader.read_all(there) == 1
    assert sorted(reader.networks) == sorted([new, again])


def test_a_clock_a_minute_behind_hides_nothing() -> None:
    there, reader = networks(), Reader()
    put(there, 1, T0 + 60)
    reader.read_all(there)
    late = put(there, 2, T0)
    reader.read_all(there)
    assert late in reader.networks


def test_a_clock_far_ahead_hides_nothing() -> None:
    there, reader = networks(), Reader()
    put(there, 1, T0 + 99_999)
    reader.read_all(there, T0)
    for number in range(2, 6):
        now = T0 + 500 * number
        new = put(there, number, now)
        reader.networks.clear()
        reader.read_all(there, now + 4)
        assert reader.networks == [new]
        assert reader.read_all(there, now + 5) == 1 and reader.networks == [new]


def test_more_than_a_page_of_news_comes_at_once() -> None:
    there, reader = networks(), Reader()
    put(there, 1, T0)
    reader.read_all(there)
    news = {put(there, number, T0 + 9) for number in range(10, 30)}
    assert reader.read_all(there) == 1
    assert news <= set(reader.networks) and news <= set(reader.cells)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 90)), max_size=40), st.data())
@settings(max_examples=60, deadline=None)
def test_no_entry_is_missed_at_any_time_of_reading(puts: list[tuple[int, int]], data: st.DataObject) -> None:
    there, reader = networks(), Reader()
    known = set()
    for number, moment in puts:
        known.add(put(there, number, T0 + moment))
        if data.draw(st.booleans()):
            reader.followers.read(there, T0 + 100)
    reader.read_all(there)
    reader.read_all(there)
    assert set(reader.networks) == set(reader.cells) == known
