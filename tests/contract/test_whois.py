"""Whois over every engine: bans are recorded at once and amended once, whoever crashes."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.errors import StoreUnavailable
from banledger.ledger.ban import Ban
from banledger.ledger.check import check
from banledger.ledger.network import Answer, Cell, Network, Outcome, Pause, packed
from banledger.ledger.swap import assign
from banledger.ledger.tokens import token
from banledger.ledger.writer import Ledger
from banledger.spool.events import BanLine, NetworkLine
from banledger.stores.api import Engine, Repair, Result
from banledger.stores.change import Score
from tests.contract.conftest import KEYS, dump
from tests.support.lines import T0, ban, nowhere
from tests.support.reference import ReferenceEngine, Store
from tests.support.world import DAY_S, Clock, Desk, World, desk

NETWORKS = {
    "198.51.0.0/16": ("DE", "Alpha", 64500),
    "198.51.100.0/24": ("FR", "Beta", 64501),
    "198.51.100.128/26": ("IT", "Gamma", 64502),
    "203.0.0.0/8": ("JP", "Delta", 64503),
    "2001:db8::/32": ("US", "Epsilon", 64504),
    "2001:db8:5::/48": ("CA", "Zeta", 64505),
}
# Addresses of the documentation are private to iptocc; these stand for public ones.
PUBLIC = {"198.51": "5.51", "203.0": "14.0", "2001:db8": "2a00:db8"}


def real(text: str) -> str:
    """A name of this page as a public address."""
    for head, other in PUBLIC.items():
        if text.startswith(head):
            return other + text.removeprefix(head)
    return text


WORLD = {real(cidr): who for cidr, who in NETWORKS.items()}
ADDRESSES = [
    real(text)
    for text in (
        "198.51.1.1", "198.51.1.2", "198.51.2.1", "198.51.100.1", "198.51.100.130", "198.51.100.131", "203.0.7.7",
        "2001:db8:5::1", "2001:db8:6::1", "198.51.100.0/25",
    )
]  # fmt: skip


APART = [address for address in ADDRESSES if not address.startswith("5.51.100.13")]
"""Those that no smaller network than a cell parts from others of their cell."""


def faults(ledger: Ledger) -> list[str]:
    """What the check finds."""
    return [f"{fault.key} {fault.what}" for fault in check(ledger.store(), ledger.keys)]


def bans_of(ledger: Ledger, address: str) -> list[Ban]:
    """Every ban of an address."""
    return [one for one in ledger.bans(sorted(ledger.ids("ip", address))) if one is not None]


def run(desk: Desk, ledger: Ledger, clock: Clock, seconds: float, step: float = 0.5) -> None:
    """Let the time pass."""
    end = clock.now + seconds
    while clock.now < end:
        desk.whois.step(ledger, clock())
        clock.now += step


@pytest.fixture
def clock() -> Clock:
    return Clock(T0 + 10.0)


@pytest.fixture
def world(clock: Clock) -> World:
    return World(WORLD, clock)


def test_a_ban_is_recorded_at_once_and_amended_when_whois_arrives(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    run(one, ledger, clock, 1)
    address = real("198.51.100.1")
    ledger.record([ban(address)], one.places.locate)
    (waiting,) = bans_of(ledger, address)
    assert (waiting.whois, waiting.network, waiting.country_from) == ("waiting", None, "iptocc")
    assert (ledger.waiting(), ledger.newest_waiting(0, 5)) == (1, [waiting.id])
    before = waiting.country
    run(one, ledger, clock, 5)
    (amended,) = bans_of(ledger, address)
    assert (amended.whois, amended.network, amended.asn, amended.org) == ("proven", "5.51.100.0/24", 64501, "Beta")
    assert (amended.country, amended.country_from) == ("FR", "whois")
    assert ledger.waiting() == 0
    assert ledger.sizes("network", ["5.51.100.0/24"]) == ledger.sizes("asn", ["64501"]) == [1]
    assert ledger.sizes("org", [token("Beta")]) == ledger.sizes("country", ["FR"]) == [1]
    assert ledger.tally("country", [amended.day]) == {"FR": 1}
    assert before is not None and (before == "FR" or ledger.sizes("country", [before]) == [0])
    assert faults(ledger) == []
    assert [address for _, address in world.asked] == ["5.51.100.1"]


def test_another_address_of_a_proven_cell_has_its_network_at_once(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    ledger.record([ban(real("198.51.1.1"))], one.places.locate)
    run(one, ledger, clock, 5)
    ledger.record([ban(real("198.51.1.2"), T0 + 1)], one.places.locate)
    (other,) = bans_of(ledger, real("198.51.1.2"))
    assert (other.whois, other.network, other.country) == ("proven", "5.51.0.0/16", "DE")
    run(one, ledger, clock, 5)
    assert len(world.asked) == 1


def test_a_near_cell_inherits_and_is_proven_later(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    ledger.record([ban(real("198.51.1.1"))], one.places.locate)
    run(one, ledger, clock, 5)
    world.networks["5.51.2.0/24"] = ("NL", "Eta", 64506)
    ledger.record([ban(real("198.51.2.1"), T0 + 1)], one.places.locate)
    (near,) = bans_of(ledger, real("198.51.2.1"))
    assert (near.whois, near.network, near.country) == ("inherited", "5.51.0.0/16", "DE")
    run(one, ledger, clock, 5)
    (near,) = bans_of(ledger, real("198.51.2.1"))
    assert (near.whois, near.network, near.country) == ("proven", "5.51.2.0/24", "NL")
    assert faults(ledger) == []


def test_networks_are_shared_between_recorders_and_survive_a_restart(
    open_engine: Callable[[], Engine], world: World, clock: Clock, request: pytest.FixtureRequest
) -> None:
    engine = open_engine()
    ledger, one = Ledger(engine, KEYS, "UTC"), desk(world)
    ledger.record([ban(real("198.51.1.1"))], one.places.locate)
    run(one, ledger, clock, 5)
    again = desk(world, holder="two")
    run(again, ledger, clock, 1)
    assert again.places.locate(real("198.51.1.9"), clock.now).network == "5.51.0.0/16"
    ledger.record([ban(real("203.0.7.7"))], one.places.locate)
    run(one, ledger, clock, 5)
    run(again, ledger, clock, 6)
    assert again.places.locate(real("203.0.7.8"), clock.now).org == "Delta"
    assert len(world.asked) == 2


def test_only_the_lease_holder_asks_and_another_takes_over_when_it_dies(
    ledger: Ledger, world: World, clock: Clock
) -> None:
    if not ledger.shared:
        pytest.skip("nobody else may write to it")
    one, two = desk(world), desk(world, holder="two")
    ledger.record([ban(real("198.51.1.1"))], one.places.locate)
    run(one, ledger, clock, 3)
    ledger.record([ban(real("203.0.7.7"), T0 + 5)], two.places.locate)
    run(two, ledger, clock, 30)
    assert [address for _, address in world.asked] == ["5.51.1.1"]
    run(two, ledger, clock, 60)
    assert [address for _, address in world.asked] == ["5.51.1.1", "14.0.7.7"]
    two.whois.leave(ledger)
    ledger.record([ban(real("2001:db8:5::1"), T0 + 6)], one.places.locate)
    run(one, ledger, clock, 40)
    assert world.asked[-1][1] == real("2001:db8:5::1")


def test_a_stale_answer_is_used_while_it_is_refreshed_and_recorded_bans_keep_theirs(
    ledger: Ledger, world: World, clock: Clock
) -> None:
    one = desk(world)
    address = real("198.51.1.1")
    ledger.record([ban(address)], one.places.locate)
    run(one, ledger, clock, 5)
    clock.now += 15 * DAY_S
    world.networks["5.51.0.0/16"] = ("AT", "Alpha", 64500)
    ledger.record([ban(address, clock.now)], one.places.locate)
    old, new = bans_of(ledger, address)
    assert (old.country, new.country, new.whois) == ("DE", "DE", "stale")
    world.faults[address] = Answer(address=address, registry="ripe", outcome=Outcome.FAILED, problem="no")
    run(one, ledger, clock, 60)
    assert bans_of(ledger, address)[1].whois == "stale"
    del world.faults[address]
    run(one, ledger, clock, 1800, 5.0)
    old, new = bans_of(ledger, address)
    assert (old.country, new.country, new.whois) == ("DE", "AT", "proven")
    assert faults(ledger) == []


def test_a_failure_is_kept_and_retried_with_backoff(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    address = real("198.51.1.1")
    world.faults[address] = Answer(address=address, registry="ripe", outcome=Outcome.FAILED, problem="too slow")
    ledger.record([ban(address)], one.places.locate)
    run(one, ledger, clock, 4 * 3600, 20.0)
    moments = [moment for moment, _ in world.asked]
    waits = [after - before for before, after in pairwise(moments)]
    assert 3 <= len(moments) <= 5 and waits == sorted(waits) and waits[0] >= 900
    (cell,) = ledger.networks.cells(["5.51.1.0/24"])
    assert cell is not None and (cell.problem, cell.tries) == ("too slow", len(moments))
    del world.faults[address]
    run(one, ledger, clock, DAY_S, 60.0)
    assert bans_of(ledger, address)[0].whois == "proven"


def test_an_empty_answer_is_kept_and_ends_the_waiting(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    ledger.record([ban("9.9.9.9"), ban("9.9.9.8", T0 + 1)], one.places.locate)
    run(one, ledger, clock, 5)
    assert [bans_of(ledger, address)[0].whois for address in ("9.9.9.9", "9.9.9.8")] == ["none", "none"]
    assert len(world.asked) == 1
    assert ledger.waiting() == 0
    ledger.record([ban("9.9.9.7", T0 + 2)], one.places.locate)
    assert bans_of(ledger, "9.9.9.7")[0].whois == "none"
    assert faults(ledger) == []


def test_all_recorders_honour_a_registrys_pause(ledger: Ledger, world: World, clock: Clock) -> None:
    one, two = desk(world), desk(world, holder="two")
    address = real("198.51.1.1")
    world.faults[address] = Answer(address=address, registry="apnic", outcome=Outcome.LIMITED, retry_s=600.0)
    ledger.record([ban(address)], one.places.locate)
    run(one, ledger, clock, 5)
    one.whois.leave(ledger)
    asked = len(world.asked)
    del world.faults[address]
    run(two, ledger, clock, 500, 5.0)
    assert len(world.asked) == asked == 1
    run(two, ledger, clock, 200, 5.0)
    assert bans_of(ledger, address)[0].whois == "proven"


def test_an_unreachable_registry_is_logged_once_and_its_return_too(
    ledger: Ledger, world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "banledger")
    one = desk(world)
    world.down = True
    ledger.record([ban(f"5.51.{n}.1", T0 + n) for n in range(20)], one.places.locate)
    run(one, ledger, clock, DAY_S / 2, 10.0)
    assert len(world.asked) > 10
    assert [record.getMessage() for record in caplog.records] == [
        "whois: no answer from 'apnic' ('unreachable'); bans are recorded; it is tried again"
    ]
    world.down = False
    run(one, ledger, clock, DAY_S, 60.0)
    assert ledger.waiting() == 0
    assert [record.getMessage() for record in caplog.records][1:] == ["whois: 'apnic' answers again"]


def test_the_queue_is_bounded_and_the_newest_come_first(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world, most=20)
    ledger.record([ban(f"5.51.{n}.1", T0 + n) for n in range(100)], one.places.locate)
    assert ledger.waiting() == 100
    run(one, ledger, clock, 1)
    assert ledger.waiting() == 20
    run(one, ledger, clock, 60)
    assert ledger.waiting() == 0
    assert [address for _, address in world.asked] == [f"5.51.{n}.1" for n in range(99, 79, -1)]
    assert faults(ledger) == []


def test_older_bans_are_looked_up_while_the_newest_cannot_be(
    ledger: Ledger, world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banledger.whois.queue.PAGE", 10)
    one = desk(world)
    world.down = True
    ledger.record([ban(f"5.51.{n}.1", T0 + n) for n in range(100, 130)], one.places.locate)
    run(one, ledger, clock, 2000, 10.0)
    world.down = False
    ledger.networks.pause("apnic", Pause(clock.now + DAY_S))
    ledger.record([ban("6.51.1.1", T0), ban("7.51.1.1", T0 + 1)], one.places.locate)
    run(one, ledger, clock, 120)
    assert [address for _, address in world.asked[-2:]] == ["7.51.1.1", "6.51.1.1"]
    assert ledger.waiting() == 30


def test_old_bans_are_not_looked_up_but_get_known_networks(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    old = clock.now - 31 * DAY_S
    ledger.record([ban(real("198.51.1.1"), old)], one.places.locate)
    run(one, ledger, clock, 5)
    assert bans_of(ledger, real("198.51.1.1"))[0].whois is None
    assert world.asked == []
    ledger.record([ban(real("198.51.1.1"))], one.places.locate)
    run(one, ledger, clock, 5)
    ledger.record([ban(real("198.51.1.2"), old), ban(real("198.51.2.2"), old)], one.places.locate)
    assert bans_of(ledger, real("198.51.1.2"))[0].network == "5.51.0.0/16"
    assert bans_of(ledger, real("198.51.2.2"))[0].whois is None
    assert ledger.waiting() == 0


def test_a_smaller_network_that_no_longer_exists_is_forgotten(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    address = real("198.51.100.130")
    ledger.record([ban(address)], one.places.locate)
    run(one, ledger, clock, 5)
    assert bans_of(ledger, address)[0].network == "5.51.100.128/26"
    del world.networks["5.51.100.128/26"]
    clock.now += 15 * DAY_S
    ledger.record([ban(address, clock.now)], one.places.locate)
    run(one, ledger, clock, 5)
    assert bans_of(ledger, address)[1].network == "5.51.100.0/24"
    assert ledger.networks.network("5.51.100.128/26") is None
    other = desk(world)
    run(other, ledger, clock, 1)
    assert other.places.locate(address, clock.now).network == "5.51.100.0/24"


def test_whois_asks_no_registry_when_disabled(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world, ask=False)
    ledger.record([ban(address) for address in ADDRESSES], one.places.locate)
    run(one, ledger, clock, 60)
    assert world.asked == [] and ledger.waiting() == 0


def test_recent_bans_recorded_while_whois_was_off_are_looked_up_later(
    ledger: Ledger, world: World, clock: Clock
) -> None:
    silent = desk(world, ask=False)
    lines = [ban(f"5.51.{n}.1", clock.now - n * DAY_S / 10) for n in range(60)]
    ledger.record([*lines, ban("5.51.200.1", clock.now - 40 * DAY_S), ban("10.0.0.1")], silent.places.locate)
    run(silent, ledger, clock, 5)
    assert ledger.waiting() == 0
    one = desk(world)
    run(one, ledger, clock, 200, 1.0)
    assert {bans_of(ledger, line.fid)[0].whois for line in lines} == {"proven"}
    assert bans_of(ledger, "5.51.200.1")[0].whois is bans_of(ledger, "10.0.0.1")[0].whois is None
    assert faults(ledger) == []


def test_the_number_of_waiting_bans_is_bounded(
    ledger: Ledger, world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banledger.whois.worker._AMENDED", 5)
    silent = desk(world, ask=False)
    lines = [ban(f"5.51.{n}.1", clock.now - n * DAY_S / 10) for n in range(60)]
    ledger.record(lines, silent.places.locate)
    world.down = True
    one = desk(world, most=20)
    run(one, ledger, clock, 30)
    assert 20 <= ledger.waiting() < 30
    assert {bans_of(ledger, line.fid)[0].whois for line in lines[:10]} == {"waiting"}


def test_waiting_ends_when_whois_is_disabled(ledger: Ledger, world: World, clock: Clock) -> None:
    one, silent = desk(world), desk(world, ask=False)
    ledger.networks.put([_network("5.51.0.0/16")], [_found("5.51.1.0/24")], clock.now)
    run(one, ledger, clock, 1)
    ledger.record([ban("5.51.2.1"), ban("9.9.9.9", T0 + 1)], one.places.locate)
    assert [bans_of(ledger, address)[0].whois for address in ("5.51.2.1", "9.9.9.9")] == ["inherited", "waiting"]
    run(silent, ledger, clock, 5)
    given_up = bans_of(ledger, "5.51.2.1")[0]
    assert (ledger.waiting(), given_up.whois, given_up.network, given_up.country_from) == (0, None, None, "iptocc")
    assert silent.places.locate("5.51.1.9", clock.now).network == "5.51.0.0/16"
    assert world.asked == [] and faults(ledger) == []


def test_a_store_failure_loses_no_answer(
    ledger: Ledger, world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desk(world)
    ledger.record([ban("5.51.1.1"), ban("6.51.1.1"), ban("7.51.1.1")], one.places.locate)
    put = ledger.networks.put
    failures = iter([True, False, True, True])

    def failing(*arguments: Any) -> None:
        if next(failures, False):
            raise StoreUnavailable("full")
        put(*arguments)

    monkeypatch.setattr(ledger.networks, "put", failing)
    for _ in range(60):
        with suppress(StoreUnavailable):
            one.whois.step(ledger, clock.now)
        clock.now += 0.5
    assert ledger.waiting() == 0 and len(world.asked) == 3


def test_a_small_network_that_no_longer_exists_is_looked_up_once(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    address = real("198.51.100.130")
    ledger.record([ban(address)], one.places.locate)
    run(one, ledger, clock, 5)
    world.networks.clear()
    clock.now += 15 * DAY_S
    ledger.record([ban(address, clock.now)], one.places.locate)
    run(one, ledger, clock, 60)
    assert len(world.asked) == 2 and bans_of(ledger, address)[1].whois == "none"


def test_a_clock_step_back_does_not_stop_whois(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    ledger.record([ban("5.51.1.1")], one.places.locate)
    run(one, ledger, clock, 5)
    ledger.networks.pause("arin", Pause(clock.now + 3 * 365 * DAY_S))
    clock.now -= 3 * DAY_S
    ledger.record([ban("6.51.1.1", clock.now)], one.places.locate)
    run(one, ledger, clock, 70)
    assert ledger.waiting() == 0 and world.asked[-1][1] == "6.51.1.1"


def test_a_pause_of_a_referred_registry_applies_to_it_alone(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    national = Answer(
        address="5.51.1.1", registry="apnic", by="jpnic.rdap.apnic.net", outcome=Outcome.LIMITED, retry_s=7 * DAY_S
    )
    world.faults["5.51.1.1"] = national
    ledger.record([ban("5.51.1.1", T0 + 1), ban("5.51.9.1")], one.places.locate)
    run(one, ledger, clock, 30)
    assert [address for _, address in world.asked] == ["5.51.1.1", "5.51.9.1"]
    assert list(ledger.networks.pauses()) == ["jpnic.rdap.apnic.net"]
    assert ledger.waiting() == 1


def test_an_older_answer_does_not_replace_a_newer_one(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    ledger.record([ban("5.51.1.1")], one.places.locate)
    run(one, ledger, clock, 5)

    def line(cidr: str, fetched: float, seen: float = 0.0, about: str = "") -> NetworkLine:
        return NetworkLine(
            v=1, seq=1, seen=seen or clock.now, server="w", jail="import", cidrs=(cidr,), source="import",
            registry="ripe", fetched=fetched, country="RU", org="Old", about=about,
        )  # fmt: skip

    wrong = [line("5.51.1.0/24", 1000.0), line("0.0.0.0/0", clock.now), line("5.51.9.0/24", clock.now + 9 * DAY_S)]
    assert ledger.record(wrong, nowhere, clock.now).networks == 0
    assert ledger.record([line("9.9.9.0/24", clock.now, seen=9e9)], nowhere, clock.now).networks == 1
    assert ledger.networks.newest("networks", 0, 1)[0][1] <= clock.now
    run(one, ledger, clock, 6)
    assert one.places.locate("5.51.1.2", clock.now).country == "DE"
    assert one.places.locate("9.9.9.9", clock.now).country == "RU"


def test_a_flood_is_dropped_from_the_queue_page_by_page(
    ledger: Ledger, world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banledger.ledger.ban_writer._AT_ONCE", 10)
    one = desk(world, most=5)
    ledger.record([ban(f"5.51.{n}.1", T0 + n) for n in range(40)], one.places.locate)
    one.whois.step(ledger, clock.now)
    assert ledger.waiting() == 30
    run(one, ledger, clock, 3, 0.1)
    assert ledger.waiting() <= 5


def test_invalid_hashes_count_as_missing(ledger: Ledger, world: World, clock: Clock) -> None:
    engine = ledger._engine
    engine.put({"bans:whois:junk": {"cidrs": "junk", "source": "", "registry": "", "fetched": "1"},
                    "bans:whois:5.51.0.0/16": {"cidrs": "5.51.0.0/16 x", "source": "", "registry": "", "fetched": "1"},
                    "bans:cell:?": {"asked": "1", "result": "found"}})  # fmt: skip
    engine.mend(Repair(scores=[Score("bans:whois", "junk", 1.0), Score("bans:whois", "5.51.0.0/16", 1.0),
                              Score("bans:cells", "?", 1.0)]))  # fmt: skip
    assign(engine, "bans:lookups", {"pause:ripe": "never"})
    one = desk(world)
    ledger.record([ban("5.51.1.1")], one.places.locate)
    run(one, ledger, clock, 5)
    assert bans_of(ledger, "5.51.1.1")[0].network == "5.51.0.0/16"


def _network(cidr: str) -> Network:
    return Network(cidrs=(cidr,), source="rdap", registry="ripe", fetched=T0, country="DE", org="Alpha")


def _found(cidr: str) -> Cell:
    return Cell(cidr=cidr, asked=T0, result=Outcome.FOUND)


def test_whois_does_not_replace_an_imported_country(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    address = real("198.51.100.1")
    ledger.record([ban(address)], one.places.locate)
    ledger.record([ban(address, origin="import", country="PL")], one.places.locate)
    run(one, ledger, clock, 5)
    (recorded,) = bans_of(ledger, address)
    assert (recorded.country, recorded.country_from, recorded.network) == ("PL", "import", "5.51.100.0/24")
    assert faults(ledger) == []


def test_a_line_about_a_network_is_kept_unless_something_newer_is_known(ledger: Ledger, world: World) -> None:
    line = NetworkLine(
        v=1, seq=1, seen=world.clock.now, server="web1", jail="whois", cidrs=("5.51.1.7/16",), source="rdap",
        registry="ripe", fetched=world.clock.now, about="5.51.1.1", name="OLD", country="DE", asn=64500,
        raw=packed(b"{}"),
    )  # fmt: skip
    assert ledger.record([line], nowhere).networks == 1
    before = dump(ledger.store())
    assert ledger.record([line], nowhere).networks == 0
    assert dump(ledger.store()) == before
    network = ledger.networks.network("5.51.0.0/16")
    assert network is not None and (network.name, network.raw) == ("OLD", b"{}")
    one = desk(world)
    run(one, ledger, world.clock, 1)
    assert one.places.locate("5.51.1.200", world.clock.now).whois == "proven"
    assert one.places.locate("5.51.99.1", world.clock.now).whois == "waiting"


def test_no_registry_is_asked_above_its_rate(ledger: Ledger, world: World, clock: Clock) -> None:
    one = desk(world)
    rng = Random(3)
    lines = [ban(f"{rng.choice((5, 6, 7))}.51.{n}.{rng.randrange(1, 250)}", T0 + n) for n in range(90)]
    ledger.record(lines, one.places.locate)
    run(one, ledger, clock, 60, 0.1)
    by_registry: dict[str, list[float]] = {}
    for moment, address in world.asked:
        registry = world.registry_of(address)
        assert registry is not None
        by_registry.setdefault(registry.name, []).append(moment)
    assert len(world.asked) == 90 and len(by_registry) == 3
    for moments in by_registry.values():
        assert min(after - before for before, after in pairwise(moments)) >= 0.999


# Clocks that jump, and clocks that are wrong.

YEARS_S = 10 * 365 * DAY_S
JUMPS = [YEARS_S, 5 * DAY_S, 3 * 3600.0, -3 * 3600.0, -5 * DAY_S, -YEARS_S]


def jump(desk: Desk, ledger: Ledger, clock: Clock, ahead: float, seconds: float = 5.0) -> None:
    """Let some seconds pass with a wall clock that is wrong."""
    clock.ahead = ahead
    run(desk, ledger, clock, seconds)
    clock.ahead = 0.0


@pytest.mark.parametrize("ahead", JUMPS)
def test_bans_waiting_or_recorded_under_a_wrong_clock_are_answered(
    ledger: Ledger, world: World, clock: Clock, ahead: float
) -> None:
    one = desk(world)
    world.down = True
    ledger.record([ban("5.51.1.1")], one.places.locate)
    run(one, ledger, clock, 1)
    clock.ahead = ahead
    ledger.record([ban("6.51.1.1", T0 + 1)], one.places.locate)
    jump(one, ledger, clock, ahead)
    world.down = False
    run(one, ledger, clock, 1000, 1.0)
    if 0 < ahead < DAY_S:  # a plausible retry time of another machine
        run(one, ledger, clock, ahead, 10.0)
    assert [bans_of(ledger, address)[0].whois for address in ("5.51.1.1", "6.51.1.1")] == ["proven", "none"]
    assert ledger.waiting() == 0 and faults(ledger) == []


@pytest.mark.parametrize("ahead", JUMPS)
def test_a_clock_jump_ends_no_bans_waiting(ledger: Ledger, world: World, clock: Clock, ahead: float) -> None:
    one = desk(world)
    world.down = True
    ledger.record([ban(f"5.51.{n}.1") for n in range(9)], one.places.locate)
    run(one, ledger, clock, 2 * 3600, 30.0)
    jump(one, ledger, clock, ahead, 600)
    assert ledger.waiting() == 9


@pytest.mark.parametrize("ahead", JUMPS)
def test_a_pause_keeps_its_length_when_the_clock_is_set(
    ledger: Ledger, world: World, clock: Clock, ahead: float
) -> None:
    one = desk(world)
    address = real("198.51.1.1")
    world.faults[address] = Answer(address=address, registry="apnic", outcome=Outcome.LIMITED, retry_s=600.0)
    ledger.record([ban(address)], one.places.locate)
    jump(one, ledger, clock, ahead)
    del world.faults[address]
    run(one, ledger, clock, 590, 5.0)
    assert len(world.asked) == 1
    run(one, ledger, clock, 100, 5.0)
    assert bans_of(ledger, address)[0].whois == "proven"


@pytest.mark.parametrize("ahead", JUMPS)
def test_a_pause_that_a_wrong_clock_left_does_not_outlast_a_restart(
    ledger: Ledger, world: World, clock: Clock, ahead: float
) -> None:
    one = desk(world)
    address = real("198.51.1.1")
    world.faults[address] = Answer(address=address, registry="apnic", outcome=Outcome.LIMITED, retry_s=600.0)
    ledger.record([ban(address)], one.places.locate)
    jump(one, ledger, clock, ahead)
    one.whois.leave(ledger)
    del world.faults[address]
    run(desk(world, holder="two"), ledger, clock, 700, 5.0)
    assert bans_of(ledger, address)[0].whois == "proven"


@pytest.mark.parametrize("ahead", [YEARS_S, -YEARS_S])
def test_answers_recorded_under_a_wrong_clock_are_looked_up_again(
    ledger: Ledger, world: World, clock: Clock, ahead: float
) -> None:
    one = desk(world)
    clock.ahead = ahead
    ledger.record([ban("5.51.1.1"), ban("9.9.9.9", T0 + 1)], one.places.locate)
    jump(one, ledger, clock, ahead)
    world.networks["5.51.0.0/16"] = ("AT", "Alpha", 64500)
    world.networks["9.0.0.0/8"] = ("CL", "Theta", 64507)
    ledger.record([ban("5.51.1.1", T0 + 9), ban("9.9.9.9", T0 + 10)], one.places.locate)
    run(one, ledger, clock, 60)
    assert [bans_of(ledger, address)[1].country for address in ("5.51.1.1", "9.9.9.9")] == ["AT", "CL"]
    assert ledger.waiting() == 0


@pytest.mark.parametrize("fetched", [T0 + YEARS_S, T0 - YEARS_S])
def test_a_new_answer_replaces_one_recorded_under_a_wrong_clock(ledger: Ledger, fetched: float) -> None:
    def line(moment: float, name: str) -> NetworkLine:
        return NetworkLine(
            v=1, seq=1, seen=moment, server="w", jail="whois", cidrs=("5.51.0.0/16",), source="rdap", registry="ripe",
            fetched=moment, name=name, about="5.51.1.1",
        )  # fmt: skip

    assert ledger.record([line(fetched, "WRONG")], nowhere, T0).networks == 1
    assert ledger.record([line(T0, "RIGHT")], nowhere, T0 + 1).networks == 1
    assert ledger.record([line(fetched, "WRONG")], nowhere, T0 + 2).networks == 0
    network, (cell,) = ledger.networks.network("5.51.0.0/16"), ledger.networks.cells(["5.51.1.0/24"])
    assert network is not None and cell is not None and (network.name, cell.asked) == ("RIGHT", T0)


def test_a_recorder_whose_clock_is_behind_takes_new_networks(ledger: Ledger) -> None:
    line = NetworkLine(
        v=1, seq=1, seen=T0, server="w", jail="whois", cidrs=("5.51.0.0/16",), source="rdap", registry="ripe",
        fetched=T0, name="NAME", about="5.51.1.1",
    )  # fmt: skip
    assert ledger.record([line], nowhere, T0 - YEARS_S).networks == 1


@pytest.mark.parametrize("ahead", [YEARS_S, 3 * 3600.0, 30.0, -YEARS_S])
def test_recorders_with_different_clocks_take_turns_with_the_lease(
    ledger: Ledger, world: World, clock: Clock, ahead: float
) -> None:
    if not ledger.shared:
        pytest.skip("nobody else may write to it")
    right, wrong = desk(world), desk(world, holder="two", clock=lambda: clock.now + ahead)
    asks: dict[str, int] = {"right": 0, "wrong": 0}

    def pass_time(seconds: float, *, right_lives: bool = True, wrong_lives: bool = True) -> None:
        end = clock.now + seconds
        while clock.now < end:
            for name, one, now, lives in (
                ("wrong", wrong, clock.now + ahead, wrong_lives), ("right", right, clock.now, right_lives),
            ):  # fmt: skip
                before = len(world.asked)
                if lives:
                    one.whois.step(ledger, now)
                    asks[name] += len(world.asked) - before
            clock.now += 1.0

    ledger.record([ban(f"5.{n >> 8}.{n & 255}.1", T0 + n) for n in range(900)], right.places.locate)
    pass_time(150)
    assert asks["right"] == 0 and asks["wrong"] > 100
    pass_time(130, wrong_lives=False)
    assert asks["right"] > 20
    asks.update(right=0, wrong=0)
    pass_time(150)
    assert asks["wrong"] <= 1 and asks["right"] > 100  # one answer was on its way
    right.whois.leave(ledger)
    pass_time(60, right_lives=False)
    assert asks["wrong"] > 30


@pytest.mark.parametrize("ahead", [YEARS_S, -YEARS_S])
def test_a_lease_taken_under_a_jumped_clock_blocks_no_recorder(
    ledger: Ledger, world: World, clock: Clock, ahead: float
) -> None:
    if not ledger.shared:
        pytest.skip("nobody else may write to it")
    one, two = desk(world), desk(world, holder="two")
    clock.ahead = ahead
    ledger.record([ban("5.51.1.1")], one.places.locate)
    jump(one, ledger, clock, ahead)
    ledger.record([ban("6.51.1.1", T0 + 1)], two.places.locate)
    run(two, ledger, clock, 100)
    assert ledger.waiting() == 0


def test_networks_from_a_recorder_with_a_clock_behind_reach_others_within_a_day(
    ledger: Ledger, world: World, clock: Clock
) -> None:
    if not ledger.shared:
        pytest.skip("nobody else may write to it")
    one, two = desk(world), desk(world, holder="two", clock=lambda: clock.now - YEARS_S)
    ledger.networks.put([_network("6.0.0.0/8")], [_found("6.51.1.0/24")], clock.now)
    run(one, ledger, clock, 1)
    one.whois.leave(ledger)
    ledger.record([ban("5.51.1.1")], two.places.locate)
    for _ in range(10):
        two.whois.step(ledger, clock.now - YEARS_S)
        clock.now += 1.0
    assert bans_of(ledger, "5.51.1.1")[0].whois == "proven"
    run(one, ledger, clock, DAY_S + 60, 20.0)
    assert one.places.locate("5.51.1.1", clock.now).network == "5.51.0.0/16"


# Whoever crashes, wherever.


class _Crash(BaseException):
    """The process died."""


class _Mortal(ReferenceEngine):
    """Dies before its n-th step, in whatever it does."""

    left = 1_000_000

    def _tick(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _Crash

    def apply(self, changes, advances=()):  # type: ignore[no-untyped-def]
        outcomes: list[Result] = []
        for _ in self.steps(changes, outcomes):
            self._tick()
        return outcomes

    def put(self, hashes, scores=()):  # type: ignore[no-untyped-def]
        for key, fields in hashes.items():
            self._tick()
            super().put({key: fields})
        super().put({}, scores)

    def mend(self, repair):  # type: ignore[no-untyped-def]
        self._tick()
        super().mend(repair)


class _Shared(ReferenceEngine):
    """Others write to it too."""

    shared = True


_lines = st.lists(
    st.builds(
        lambda address, time, server: ban(address, time, server=server),
        st.sampled_from(APART),
        st.integers(T0, T0 + 5),
        st.sampled_from(["web1", "web2"]),
    ),
    min_size=1,
    max_size=12,
)


@given(st.lists(_lines, min_size=1, max_size=3), st.lists(st.integers(0, 80), max_size=5))
@settings(max_examples=60, deadline=None)
def test_every_ban_gets_its_own_network_whichever_recorder_crashes(
    batches: list[list[BanLine]], crashes: list[int]
) -> None:
    clock = Clock(T0 + 10.0)
    world, store = World(WORLD, clock), Store()
    for steps in [*crashes, 1_000_000]:
        engine = _Mortal(store, KEYS.entries_of)
        engine.left = steps
        one = desk(world, holder=str(steps))
        try:
            ledger = Ledger(engine, KEYS, "UTC")
            for batch in batches:
                ledger.record(batch, one.places.locate)
                run(one, ledger, clock, 1)
            clock.now += 61.0
            run(one, ledger, clock, 40)
        except _Crash:
            clock.now += 1.0
            continue
    assert ledger.waiting() == 0 and not store.outbox
    for address in {line.fid for batch in batches for line in batch}:
        truth = world.truth(address)
        assert truth is not None
        for one_ban in bans_of(ledger, address):
            known = (one_ban.network, one_ban.country, one_ban.org, one_ban.asn)
            assert known == (truth, *WORLD[truth]) and one_ban.whois == "proven"
    assert faults(ledger) == []


@given(_lines, _lines, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_two_recorders_share_waiting_bans_and_answers(mine: list[BanLine], theirs: list[BanLine], turn: Random) -> None:
    clock = Clock(T0 + 10.0)
    world, store = World(WORLD, clock), Store()
    both = []
    for name, lines in (("one", mine), ("two", theirs)):
        ledger, own = Ledger(_Shared(store, KEYS.entries_of), KEYS, "UTC", "machine"), desk(world, holder=name)
        both.append((ledger, own))
        ledger.record(lines, own.places.locate)
    for _ in range(400):
        ledger, own = turn.choice(both)
        own.whois.step(ledger, clock.now)
        clock.now += 0.5
    assert ledger.waiting() == 0
    assert len({address for _, address in world.asked}) == len(world.asked)
    for line in (*mine, *theirs):
        assert {one.network for one in bans_of(ledger, line.fid)} == {world.truth(line.fid)}
    assert faults(ledger) == []
