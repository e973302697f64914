"""A server gets another label, over every engine: each ban counts once, whatever interrupts it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.ledger.ban import Ban
from banledger.ledger.check import check
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import erased
from banledger.ledger.rename import Renamed, Renaming
from banledger.ledger.writer import Ledger
from banledger.report.show import show
from banledger.spool.events import BanLine, Event, TicketLine
from banledger.stores.api import Engine
from tests.contract.conftest import KEYS, Open, derived
from tests.contract.test_ledger import _contents, _Crash, _Dying, fresh
from tests.support.lines import T0, ban, events, gap, nowhere, prolong, row, start, told, unban


def faults(engine: Engine) -> list[str]:
    return [f"{fault.key} {fault.what}" for fault in check(engine, KEYS)]


def all_bans(ledger: Ledger) -> list[Ban]:
    ids = [key.rpartition(":")[2] for key in ledger.store().keys("*:ban:*")]
    return sorted([one for one in ledger.bans(ids) if one is not None], key=lambda one: (one.server, one.fid, one.time))


LINES: list[Event] = [
    start(T0 - 9.0),
    ban(users=("root",), matches=("m",), bantime=-1),
    prolong(seen=T0 + 3.0),
    ban("192.0.2.2", time=T0 + 40 * 86_400),
    unban("192.0.2.2", time=T0 + 40 * 86_400, seen=T0 + 40 * 86_400 + 9.0),
    ban("192.0.2.3", server="web2"),
    row("192.0.2.4", country="CN"),
    told("192.0.2.5", logged=T0 + 4.5, found=T0 + 4, failures=3),
    unban("192.0.2.9", seen=T0 + 5.0),
    gap(),
]


def test_every_ban_of_a_server_is_one_of_its_new_label(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    before = all_bans(ledger)
    assert Renaming(engine, KEYS, "web1", "mail").run() == Renamed(bans=4)
    wanted = [replace(one, id="", server="mail" if one.server == "web1" else one.server) for one in before]
    there = [replace(one, id="") for one in all_bans(ledger)]
    assert there == sorted(wanted, key=lambda one: (one.server, one.fid, one.time))
    assert faults(engine) == []
    assert not list(engine.keys("*web1*"))
    again = Ledger(engine, KEYS, "Europe/Berlin")
    assert set(engine.members(KEYS.sources)) == {"mail|sshd", "web2|sshd"}
    assert [one.state for one in again.sources if one.server == "mail"] == ["running"]
    again.record([line for line in LINES if isinstance(line, TicketLine)], nowhere)  # the spool is read again
    counted = [replace(one, id="") for one in all_bans(ledger) if one.origin != "pending"]
    assert counted == [one for one in there if one.origin != "pending"] and faults(engine) == []
    old = next(one for one in before if one.server == "web1" and one.origin == "live")
    assert show(ledger, old.id, T0).renamed == "mail"
    assert Renaming(engine, KEYS, "web1", "mail").run() == Renamed()


def test_it_is_as_if_it_had_been_recorded_under_the_new_label(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    Renaming(engine, KEYS, "web1", "mail").run()
    _, wanted = fresh()
    wanted.record([replace(line, server="mail") if line.server == "web1" else line for line in LINES], nowhere)
    assert _comparable(derived(engine)) == _comparable(derived(wanted.store()))


def _comparable(contents: dict[str, object]) -> dict[str, object]:
    ours = {key: held for key, held in contents.items() if key not in (KEYS.meta, KEYS.gaps) and ":gap:" not in key}
    return {key: held for key, held in ours.items() if not (isinstance(held, dict) and "renamed" in held)}


def test_renaming_back_brings_all_bans_back(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    before = all_bans(ledger)
    Renaming(engine, KEYS, "web1", "mail").run()
    Renaming(engine, KEYS, "mail", "web1").run()
    assert all_bans(ledger) == before and faults(engine) == []


def test_a_ban_that_both_labels_have_is_one(engine: Engine, ledger: Ledger) -> None:
    live = [ban(), ban("192.0.2.2")]
    ledger.record(live, nowhere)
    logs = [told(logged=T0 + 1.5, found=T0), told("192.0.2.2", logged=T0 + 1.2), told("192.0.2.7", logged=T0 + 9.0)]
    ledger.record([replace(line, server="old-name") for line in [*logs, row("192.0.2.2")]], nowhere)
    assert Renaming(engine, KEYS, "old-name", "web1").run().joined >= 2
    _, wanted = fresh()
    wanted.record([*live, *logs, row("192.0.2.2")], nowhere)
    assert all_bans(ledger) == all_bans(wanted) and faults(engine) == []


def test_what_was_erased_stays_erased(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban(users=("pi", "root"), matches=("m",))], nowhere)
    (old,) = all_bans(ledger)
    engine.apply([KEYS.change(old, erased(old, T0, lambda name: name == "root"))])
    Renaming(engine, KEYS, "web1", "mail").run()
    ledger.record([ban(users=("pi", "root"), matches=("m",), server="mail")], nowhere)
    (new,) = all_bans(ledger)
    assert (new.server, new.users, new.matches, new.erased) == ("mail", ("pi",), (), T0)


def test_a_damaged_ban_is_left(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban(), ban("192.0.2.2")], nowhere)
    damaged = all_bans(ledger)[0]
    engine.put({KEYS.ban(damaged.id): engine.hashes([KEYS.ban(damaged.id)])[0] | {"failures": "x"}})
    assert Renaming(engine, KEYS, "web1", "mail").run() == Renamed(bans=1, left=1)
    assert len(list(ledger.ids("server", "mail"))) == len(list(ledger.ids("server", "web1"))) == 1


# Properties

_batches = st.lists(st.lists(events, max_size=6), max_size=3)


def _run(ledger: Ledger, batches: list[list[Event]]) -> None:
    Renaming(ledger._engine, KEYS, "web2", "web1").run()
    assert not list(ledger.ids("server", "web2"))


@given(_batches)
def test_bans_of_two_labels_are_those_of_one(batches: list[list[Event]]) -> None:
    _, ledger = fresh()
    _, wanted = fresh()
    for batch in batches:
        lines = [line for line in batch if not isinstance(line, BanLine) or line.origin or line.time]
        ledger.record(lines, nowhere)
        wanted.record([replace(line, server="web1") for line in lines if _is_about_a_ban(line)], nowhere)
        wanted.record([line for line in lines if not _is_about_a_ban(line)], nowhere)
    _run(ledger, batches)
    assert faults(ledger._engine) == []
    assert {one.subject for one in all_bans(ledger)} == {one.subject for one in all_bans(wanted)}


def _is_about_a_ban(line: Event) -> bool:
    return hasattr(line, "fid")


@given(_batches, st.lists(st.integers(0, 60), max_size=4))
def test_a_kill_between_any_two_steps_changes_no_result(batches: list[list[Event]], crashes: list[int]) -> None:
    wanted, model = fresh()
    for batch in batches:
        model.record(batch, nowhere)
    _run(model, batches)
    store, other = fresh()
    for batch in batches:
        other.record(batch, nowhere)
    for steps in [*crashes, 1_000_000]:
        engine = _Dying(store, KEYS.entries_of)
        engine.left = steps
        try:
            engine.settle()
            _run(Ledger(engine, KEYS, "Europe/Berlin"), batches)
        except _Crash:
            continue
    for one in (store, wanted):  # when a ban was renamed
        one.hashes = {key: f | ({"forgotten": "0"} if "renamed" in f else {}) for key, f in one.hashes.items()}
    assert _contents(store) == _contents(wanted)
    assert faults(engine) == []


@pytest.mark.parametrize("kills", [1, 3])
def test_an_interrupted_run_is_finished_by_the_next(open_engine: Open, kills: int) -> None:
    engine = open_engine()
    ledger = Ledger(engine, KEYS, "Europe/Berlin")
    ledger.record([ban(f"10.0.{n // 250}.{n % 250}", time=T0 + n) for n in range(1200)], nowhere)
    for _ in range(kills):
        renaming = Renaming(engine, Keyspace("bans"), "web1", "mail")
        renaming._move(renaming._ids()[:300])
    assert Renaming(engine, KEYS, "web1", "mail").run() == Renamed(bans=1200 - 300 * kills)
    assert len(list(ledger.ids("server", "mail"))) == 1200 and faults(engine) == []
