"""Requests to forget, over every engine: what is asked for goes, in the middle of anything, and does not come back."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ban_writer import Recorded
from banledger.ledger.check import check
from banledger.ledger.forget_match import Matcher
from banledger.ledger.forget_request import DAY_S, KEPT_S, ForgetRequest, Forgotten, read_requests
from banledger.ledger.swap import assign
from banledger.ledger.writer import Ledger
from banledger.spool.events import Event, ForgetLine
from banledger.stores.api import Engine
from tests.contract.conftest import KEYS, Open, derived, dump
from tests.contract.test_ledger import _contents, _Crash, _Dying, fresh
from tests.support.lines import T0, ban, events, gap, held, nowhere, row, told, unban
from tests.support.lines import start as start_line
from tests.unit.whois.test_cache import cell, network

NOW = T0 + 3600.0


def asked(what: str, value: str = "", before: float = NOW, name: str = "0badcafe") -> ForgetLine:
    """A request, asked at NOW."""
    about = {"what": what, "value": value, "before": before}
    return ForgetLine(v=1, seen=NOW, seq=1, server="web1", jail="banledger forget", writer=name, **about)  # type: ignore[arg-type]


def carry_out(ledger: Ledger, now: float = NOW, rejected: Callable[[Matcher], int] = lambda _: 0) -> None:
    """Do all that was asked."""
    for _ in range(10_000):
        if not ledger.forgetter.step(now, rejected, settled=True):
            return
    raise AssertionError("it never ends")


def result(ledger: Ledger, name: str = "0badcafe") -> Forgotten:
    request = read_requests(ledger.store(), KEYS)[name]
    assert request.done and not request.value
    return request.result


def faults(engine: Engine) -> list[str]:
    return [f"{fault.key} {fault.what}" for fault in check(engine, KEYS)]


LINES: list[Event] = [
    ban(users=("root",), matches=("from 192.0.2.1 for root",), bantime=-1),
    ban("192.0.2.2", users=("pi", "root"), matches=("for pi",)),
    ban("198.51.100.7", time=T0 - 90 * 86_400, server="web2", users=("alice",), matches=("old",)),
    ban("2001:db8::1", time=T0 + 5),
    gap(),
]


@pytest.mark.parametrize(
    ("line", "left", "done"),
    [
        (asked("ip", "192.0.2.1"), ["192.0.2.2", "198.51.100.7", "2001:db8::1"], Forgotten(bans=1)),
        (asked("ip", "192.0.2.0/24"), ["198.51.100.7", "2001:db8::1"], Forgotten(bans=2)),
        (asked("ip", "2001:db8::/32"), ["192.0.2.1", "192.0.2.2", "198.51.100.7"], Forgotten(bans=1)),
        (asked("server", "web2"), ["192.0.2.1", "192.0.2.2", "2001:db8::1"], Forgotten(bans=1, others=1)),
        (asked("server", "web1"), ["198.51.100.7"], Forgotten(bans=3, others=2)),
        (asked("bans", before=T0 - DAY_S), ["192.0.2.1", "192.0.2.2", "2001:db8::1"], Forgotten(bans=1)),
        (asked("bans"), ["192.0.2.1"], Forgotten(bans=3, in_force=1, others=1)),
        (asked("ip", "192.0.2.1", before=T0), ["192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::1"], Forgotten()),
    ],
)
def test_what_is_asked_for_is_forgotten_and_nothing_else(
    engine: Engine, ledger: Ledger, line: ForgetLine, left: list[str], done: Forgotten
) -> None:
    ledger.record(LINES, nowhere)
    ever = ledger.ever_by_source()
    ledger.record([line], nowhere, NOW)
    carry_out(ledger)
    assert sorted(tok for tok, _ in ledger.values("ip")) == left
    assert result(ledger) == done
    assert ledger.ever_by_source() == ever
    assert faults(engine) == []
    before = dump(engine)
    assert ledger.record(LINES[:4], nowhere) == Recorded(lines=4, known=4)
    assert dump(engine) == before


def test_a_user_name_goes_with_the_matched_lines_and_the_ban_stays(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    ledger.record([asked("user", "root")], nowhere, NOW)
    carry_out(ledger)
    assert result(ledger) == Forgotten(erased=2)
    assert sorted(tok for tok, _ in ledger.values("user")) == ["alice", "pi"]
    bans = {one.ip: one for one in ledger.bans(ledger.ids_of_day("2026-11-23")) if one}
    assert [(bans[ip].users, bans[ip].matches) for ip in ("192.0.2.1", "192.0.2.2")] == [((), ()), (("pi",), ())]
    assert "root" not in str(dump(engine)) and faults(engine) == []
    before = derived(engine)
    ledger.record([*LINES, ban("192.0.2.1", users=("root", "toor"), matches=("x",), restored=1, seen=T0 + 9)], nowhere)
    assert derived(engine) == before


def test_old_matched_lines_go_but_not_those_of_a_ban_in_force(engine: Engine, ledger: Ledger) -> None:
    ledger.record([start_line(seen=T0 - 5.0), *LINES], nowhere)
    ledger.record([asked("matches")], nowhere, NOW)
    carry_out(ledger)
    assert result(ledger) == Forgotten(erased=2, in_force=1)
    assert "for pi" not in str(dump(engine)) and "from 192.0.2.1 for root" in str(dump(engine))
    ledger.erase_before = NOW
    ledger.record([unban(seen=T0 + 9)], nowhere)
    assert "from 192.0.2.1 for root" not in str(dump(engine)) and faults(engine) == []


def test_old_bans_that_are_recorded_late_keep_no_matched_lines(engine: Engine, ledger: Ledger) -> None:
    ledger.erase_before = T0 + 1.0
    ledger.record([row(matches=("a",)), row("192.0.2.2", time=T0 + 1, matches=("b",))], nowhere)
    held_lines = {one.ip: one.matches for one in ledger.bans(ledger.ids_of_day("2026-11-23")) if one}
    assert held_lines == {"192.0.2.1": (), "192.0.2.2": ("b",)}
    assert faults(engine) == []


def test_what_waits_for_its_ban_and_what_was_set_aside_goes_too(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban("192.0.2.9"), unban("192.0.2.1", seen=T0 + 9)], nowhere)
    (id_,) = ledger.ids("ip", "192.0.2.9")
    (sound,) = engine.hashes([KEYS.ban(id_)])
    engine.put({KEYS.ban(id_): sound | {"failures": "x"}})
    ledger.record([ban("192.0.2.9", matches=("m",))], nowhere)
    engine.put({KEYS.ban(id_): sound, KEYS.quarantine("bans:x"): {"what": "of 192.0.2.9, once"}})
    engine.put({KEYS.quarantine("bans:y"): {"what": "of 192.0.2.99"}})
    ledger.record([asked("ip", "192.0.2.0/28")], nowhere, NOW)
    carry_out(ledger)
    assert result(ledger) == Forgotten(bans=1, others=3)
    rest = str(dump(engine))
    assert "192.0.2.1'" not in rest and "192.0.2.9'" not in rest and "192.0.2.9," not in rest and "192.0.2.99" in rest


def test_lines_set_aside_lose_a_user_name_only(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban(users=("root",))], nowhere)
    (id_,) = ledger.ids("ip", "192.0.2.1")
    (sound,) = engine.hashes([KEYS.ban(id_)])
    engine.put({KEYS.ban(id_): sound | {"failures": "x"}})
    ledger.record([ban(users=("pi", "root"), matches=("for root",))], nowhere)
    ledger.record([asked("user", "root")], nowhere, NOW)
    carry_out(ledger)
    assert result(ledger).damaged == 1
    (member,) = engine.members(KEYS.aside)
    assert "root" not in member and "pi" in member


def test_a_damaged_ban_is_named_and_stays(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban(), ban(jail="nginx")], nowhere)
    id_ = next(iter(ledger.ids("jail", "sshd")))
    assign(engine, KEYS.ban(id_), {"failures": "x"})
    ledger.record([asked("ip", "192.0.2.1")], nowhere, NOW)
    carry_out(ledger)
    assert result(ledger) == Forgotten(bans=1, damaged=1)


def test_networks_and_cells_inside_go_too(engine: Engine, ledger: Ledger) -> None:
    ledger.networks.put([network("192.0.2.1/32"), network("192.0.2.0/24")], [cell("192.0.2.0/24")], NOW)
    ledger.record([asked("ip", "192.0.2.1")], nowhere, NOW)
    carry_out(ledger)
    assert sorted(cidr for cidr, _ in engine.entries(KEYS.networks)) == ["192.0.2.0/24"]
    assert result(ledger) == Forgotten(others=1)


# Requests


def test_a_request_waits_for_the_lines_that_the_spool_still_holds(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban(), asked("ip", "192.0.2.1")], nowhere, NOW)
    while ledger.forgetter.step(NOW, lambda _: 0, settled=False):
        pass
    assert not list(ledger.ids("ip", "192.0.2.1")) and ledger.forgetter.open
    ledger.record([ban(time=T0 + 60)], nowhere)
    carry_out(ledger)
    assert result(ledger) == Forgotten(bans=2) and not list(ledger.ids("ip", "192.0.2.1"))
    carry_out(ledger)
    assert not ledger.forgetter.open


def test_a_request_that_is_read_again_is_known_and_dropped_after_a_month(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban(), asked("ip", "192.0.2.1")], nowhere, NOW)
    carry_out(ledger)
    ledger.record([ban(time=T0 + 60), asked("ip", "192.0.2.1")], nowhere, NOW + 60)
    carry_out(ledger)
    assert len(list(ledger.ids("ip", "192.0.2.1"))) == 1
    carry_out(ledger, NOW + KEPT_S + 1)
    assert read_requests(engine, KEYS) == {}


def test_requests_are_carried_out_in_their_order_and_damaged_ones_are_left(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    ledger.record([asked("ip", "192.0.2.1"), asked("ip", "192.0.2.2", name="0badcaff")], nowhere, NOW)
    assign(engine, KEYS.forget, {"x": "9 nonsense"})
    carry_out(ledger)
    assert (result(ledger), result(ledger, "0badcaff")) == (Forgotten(bans=1), Forgotten(bans=1))
    assert len(faults(engine)) == 1


def test_a_daily_request_is_made_once_a_day(ledger: Ledger) -> None:
    for hour in range(49):
        now = NOW + 3600 * hour
        ledger.forgetter.ask_daily(ForgetRequest("bans", now - DAY_S, now, at=now))
        carry_out(ledger, now)
    assert read_requests(ledger.store(), KEYS)["retention.bans"].asked == NOW + 2 * DAY_S


# What is read again


@pytest.mark.parametrize(
    "line",
    [
        row(),
        told(logged=T0 + 1.5, found=T0),
        told(logged=T0 + 1.5),
        told(logged=T0 + 40.0),
        told(logged=T0 + 3.0, found=T0 + 1, first=T0 - 300),
        told(logged=T0 + 500.0, found=T0 + 30, first=T0 - 30),
    ],
)
def test_imports_of_a_forgotten_ban_change_nothing_unless_told_to(engine: Engine, ledger: Ledger, line: Event) -> None:
    ledger.record([ban(), ban("192.0.2.2")], nowhere)
    ever = ledger.ever_by_source()
    ledger.record([asked("ip", "192.0.2.1")], nowhere, NOW)
    carry_out(ledger)
    before = {key: there for key, there in dump(engine).items() if not key.endswith(":imported")}
    for _ in range(2):
        done = ledger.record([line], nowhere)
        assert (done.new, done.amended) == (0, 0)
    assert {key: there for key, there in dump(engine).items() if not key.endswith(":imported")} == before
    from msgspec.structs import replace

    assert ledger.record([replace(line, revive=1)], nowhere).new == 1
    assert ledger.record([replace(line, revive=1)], nowhere).new == 0
    assert len(list(ledger.ids("ip", "192.0.2.1"))) == 1
    assert ledger.ever_by_source() == ever and faults(engine) == []


def test_a_ban_that_was_not_forgotten_is_imported_beside_a_forgotten_one(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban()], nowhere)
    ledger.record([asked("ip", "192.0.2.1")], nowhere, NOW)
    carry_out(ledger)
    ledger.record([told(logged=T0 + 1.5, found=T0), told(logged=T0 + 301.5, found=T0 + 300)], nowhere)
    assert [one.time for one in ledger.bans(list(ledger.ids("ip", "192.0.2.1"))) if one] == [T0 + 300]


def test_a_snapshot_does_not_bring_a_forgotten_ban_back(engine: Engine, ledger: Ledger) -> None:
    ledger.record([start_line(seen=T0 - 9.0), ban(bantime=-1)], nowhere)
    ledger.record([asked("ip", "192.0.2.1")], nowhere, NOW)
    carry_out(ledger)
    ledger.record([held(("192.0.2.1", T0, -1, 1), as_of=NOW + 60), ban(restored=1, bantime=-1)], nowhere)
    assert not list(ledger.ids("ip", "192.0.2.1")) and faults(engine) == []


# Kills

_batches = st.lists(st.lists(events, max_size=6), max_size=3)
_requests = st.lists(
    st.sampled_from(
        [
            asked("ip", "192.0.2.1"),
            asked("ip", "192.0.2.0/24", name="00000001"),
            asked("server", "web2", name="00000002"),
            asked("bans", before=T0 + 1.0, name="00000003"),
            asked("user", "root", name="00000004"),
            asked("matches", name="00000005"),
        ]
    ),
    min_size=1,
    max_size=3,
)


def _run(ledger: Ledger, batches: list[list[Event]], requests: list[ForgetLine]) -> None:
    for batch in batches:
        ledger.record(batch, nowhere)
    ledger.record(requests, nowhere, NOW)
    carry_out(ledger)
    for batch in batches:
        ledger.record(batch, nowhere)


@given(_batches, _requests, st.lists(st.integers(0, 90), max_size=4))
def test_a_kill_between_any_two_steps_changes_no_result(
    batches: list[list[Event]], requests: list[ForgetLine], crashes: list[int]
) -> None:
    wanted, model = fresh()
    _run(model, batches, requests)
    store, _ = fresh()
    for steps in [*crashes, 1_000_000]:
        engine = _Dying(store, KEYS.entries_of)
        engine.left = steps
        try:
            _run(Ledger(engine, KEYS, "Europe/Berlin"), batches, requests)
        except _Crash:
            continue
    assert faults(engine) == []
    for one in (store, wanted):
        one.hashes.pop(KEYS.forget, None)  # an interrupted step is counted again
        one.sets.pop(KEYS.sources, None)  # jails of a forgotten server begin again with their lines
        one.hashes = {key: fields for key, fields in one.hashes.items() if not key.startswith(KEYS.source(""))}
    assert _contents(store) == _contents(wanted)


def test_a_recorder_goes_on_where_another_was_killed(open_engine: Open) -> None:
    many = [ban(f"192.0.2.{n % 250}", time=T0 + n) for n in range(900)]
    engine = open_engine()
    ledger = Ledger(engine, KEYS, "Europe/Berlin")
    ledger.record([*many, asked("ip", "192.0.2.0/24")], nowhere, NOW)
    for _ in range(3):
        assert ledger.forgetter.step(NOW, lambda _: 0, settled=True)
    left = len(ledger.ids_of_day("2026-11-23"))
    assert 0 < left < 900
    engine.close()
    again = Ledger(open_engine(), KEYS, "Europe/Berlin")
    carry_out(again)
    assert result(again) == Forgotten(bans=900)
    assert again.ids_of_day("2026-11-23") == [] and faults(again._engine) == []


def test_retention_over_years_with_recording_going_on(engine: Engine, ledger: Ledger) -> None:
    keep_s, begin = 365 * DAY_S, T0 - 1200 * DAY_S
    held_for_ever = ban("198.51.100.1", time=int(begin), bantime=-1, matches=("for ever",))
    ledger.record([start_line(seen=begin - 5.0), held_for_ever], nowhere, begin)
    recorded = 1
    for day in range(0, 1200, 20):
        now = begin + day * DAY_S + 60.0
        ledger.erase_before = now - 90 * DAY_S
        lines = [ban(f"10.0.{day % 250}.{n}", time=int(now) + n, matches=("m",), users=("pi",)) for n in range(3)]
        ledger.record(lines, nowhere, now)
        recorded += len(lines)
        for what, age in (("bans", keep_s), ("matches", 90 * DAY_S)):
            ledger.forgetter.ask_daily(ForgetRequest(what, now - age, now, at=now))  # type: ignore[arg-type]
        carry_out(ledger, now)
        bans = [one for some in ledger.days() for one in ledger.bans(ledger.ids_of_day(some)) if one]
        assert {one.ip for one in bans if one.time < now - keep_s - DAY_S} <= {"198.51.100.1"}
        assert {one.ip for one in bans if one.matches and one.time < now - 91 * DAY_S} <= {"198.51.100.1"}
        assert sum(ledger.ever_by_source().values()) == recorded
    assert len(list(ledger.ids("user", "pi"))) == 3 * 19
    assert len(list(ledger.ids("ip", "198.51.100.1"))) == 1
    assert faults(engine) == []
