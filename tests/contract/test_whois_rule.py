"""One rule of the cache: over memory and over a store it says the same."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.ledger.ban import WAITING
from banledger.ledger.keys import Keyspace
from banledger.ledger.network import Cell, Network, Outcome
from banledger.ledger.networks import Networks
from banledger.net.prefix import Block, block
from banledger.stores.change import Entries
from banledger.whois.cache import Cache
from banledger.whois.stored import AROUND, known
from tests.support.reference import ReferenceEngine, Store

NOW = 1_790_000_000.0
REFRESH_S = 14 * 86_400.0
CIDRS = ("192.0.0.0/20", "192.0.0.0/22", "192.0.2.0/24", "192.0.2.128/25", "192.0.4.0/23", "192.0.16.0/20")
MOMENTS = st.sampled_from([NOW - 2 * REFRESH_S, NOW - 60.0, NOW, NOW + 60.0, NOW + 2 * REFRESH_S, NOW + 3e8])
networks = st.lists(st.sampled_from(CIDRS), unique=True)
cells = st.lists(
    st.tuples(
        st.integers(0, 31),
        st.sampled_from([Outcome.FOUND, Outcome.NONE, Outcome.FAILED]),
        MOMENTS,
        MOMENTS,
    ),
    unique_by=lambda cell: cell[0],
)


def same_half(one: Block, other: Block) -> bool:
    """Offline data that knows a border between 192.0.0.0/21 and 192.0.8.0/21."""
    return one.at(21) == other.at(21)


@settings(max_examples=300)
@given(networks, cells, st.integers(0, 32 * 256 - 1))
def test_memory_and_store_give_the_same_standing(
    cidrs: list[str], proven: list[tuple[int, Outcome, float, float]], host: int
) -> None:
    cache = Cache(REFRESH_S, same_half)
    stored = Networks(ReferenceEngine(Store(), lambda _key, _fields: Entries()), Keyspace("bans"))
    records = [Network(cidrs=(cidr,), source="rdap", registry="ripe", fetched=NOW, org=cidr) for cidr in cidrs]
    told = [
        Cell(cidr=f"192.0.{third}.0/24", asked=asked, result=result, network=network, until=until)
        for third, result, asked, until in proven
        if (network := _around(cidrs, f"192.0.{third}.0/24")) or result is not Outcome.FOUND
    ]
    stored.put(records, told, NOW)
    for record in records:
        cache.learn(record)
    for cell in told:
        cache.prove(cell)
    asked = f"192.0.{host >> 8}.{host & 255}"

    found = cache.find(block(asked), NOW)
    answer = known(stored, asked, NOW, REFRESH_S, same_half)

    assert (WAITING if answer.standing in ("", AROUND) else answer.standing) == found.standing
    assert answer.cell == found.cell
    if found.known:
        assert answer.network is not None and answer.network.org == found.known.org


def _around(cidrs: list[str], cell: str) -> str | None:
    """The smallest of the networks around a cell."""
    covers: Callable[[str], bool] = lambda cidr: block(cidr).covers(block(cell))  # noqa: E731
    return max(filter(covers, cidrs), key=lambda cidr: block(cidr).prefix, default=None)
