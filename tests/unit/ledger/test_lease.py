"""Turns of recorders that share a ledger: by renewal and elapsed time, never by comparing clocks."""

from typing import NamedTuple

import pytest

from banledger.ledger.keys import Keyspace
from banledger.ledger.lease import LEASE_S, RENEW_S, Lease
from banledger.ledger.networks import Networks
from tests.support.reference import ReferenceEngine, Store

NOW = 1_800_000_000.0
YEARS_S = 10 * 365 * 86_400.0
KEYS = Keyspace("bans")


class Contenders(NamedTuple):
    """Two recorders; the second one's wall clock is wrong by `ahead`."""

    networks: Networks
    elapsed: list[float]
    ahead: float
    one: Lease
    two: Lease

    def turn(self, seconds: float, who: str = "one two") -> dict[str, bool]:
        """Some time later they try to take it; who has it."""
        self.elapsed[0] += seconds
        now = NOW + self.elapsed[0]
        tries = {"one": (self.one, now), "two": (self.two, now + self.ahead)}
        return {name: lease.take(self.networks.lease, moment) for name, (lease, moment) in tries.items() if name in who}


@pytest.fixture(params=[0.0, 3600.0, -3600.0, YEARS_S, -YEARS_S])
def contenders(request: pytest.FixtureRequest) -> Contenders:
    elapsed = [0.0]
    networks = Networks(ReferenceEngine(Store(), KEYS.entries_of), KEYS)
    one, two = (Lease(name, lambda: elapsed[0]) for name in ("a", "b"))
    return Contenders(networks, elapsed, request.param, one, two)


def test_the_holder_that_renews_keeps_the_lease(contenders: Contenders) -> None:
    for _ in range(100):
        assert contenders.turn(RENEW_S) == {"one": True, "two": False}


def test_a_holder_that_does_not_renew_loses_the_lease(contenders: Contenders) -> None:
    contenders.turn(0)
    assert contenders.turn(LEASE_S - 1, "two") == {"two": False}
    assert contenders.turn(1, "two") == {"two": True}
    for _ in range(100):
        assert contenders.turn(RENEW_S) == {"one": False, "two": True}


def test_a_lease_seen_for_the_first_time_is_respected_for_its_length(contenders: Contenders) -> None:
    contenders.turn(0, "one")
    assert contenders.turn(YEARS_S, "two") == {"two": False}
    assert contenders.turn(LEASE_S, "two") == {"two": True}


def test_a_released_lease_is_free_at_once(contenders: Contenders) -> None:
    contenders.turn(0)
    contenders.two.give_back(contenders.networks.lease)
    assert contenders.turn(1) == {"one": True, "two": False}
    contenders.one.give_back(contenders.networks.lease)
    assert contenders.turn(1, "two") == {"two": True}
