"""A forgotten ban leaves a tombstone and a count, over every engine; what is read again about it changes nothing."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.ledger.ban import Ban
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.check import check
from banledger.ledger.copy import Copied, CopyEnd, Target, copy, verify
from banledger.ledger.day_check import day_faults
from banledger.ledger.forget_change import forgetting
from banledger.ledger.found import read_bans
from banledger.ledger.reader import LedgerReader
from banledger.ledger.rebuild import rebuild
from banledger.ledger.swap import assign
from banledger.ledger.tombstone import Tombstone
from banledger.ledger.writer import Ledger
from banledger.report.show import show
from banledger.spool.events import Event
from banledger.stores.api import Applied, Conflict, Engine, Result
from banledger.stores.sqlite.engine import open_writer
from tests.contract.conftest import KEYS, derived, dump
from tests.contract.test_ledger import _contents, _Crash, _Dying, fresh
from tests.contract.test_redis_crashes import Crash, Late
from tests.contract.test_redis_crashes import engine as mortal_engine
from tests.support.lines import T0, ban, events, held, nowhere, prolong, unban
from tests.support.reference import ReferenceEngine
from tests.support.servers import StoreServer

NOW = T0 + 3600.0
FID = "192.0.2.1"
LINES: list[Event] = [
    ban(users=("root",), matches=("secret",), bantime=-1),
    ban(time=T0 + 40 * 86_400),
    ban("192.0.2.2"),
    prolong(seen=T0 + 3),
]


def found_at(ledger: LedgerReader, fid: str = FID) -> list[str]:
    """The ids of an address."""
    return sorted(ledger.ids("ip", fid))


def forget(engine: Engine, ids: list[str]) -> None:
    """Forget bans, again after conflicts, as often as needed."""
    for _ in range(20):
        bans = [one for one in read_bans(engine, KEYS, ids) if isinstance(one, Ban)]
        if not bans:
            return
        if any(isinstance(one, Conflict) for one in engine.apply([forgetting(KEYS, one, NOW) for one in bans])):
            engine.settle()
    raise AssertionError("it keeps conflicting")


def faults(engine: Engine) -> list[str]:
    return [f"{fault.key} {fault.what}" for fault in check(engine, KEYS)]


def test_a_forgotten_ban_leaves_its_id_and_a_count_and_nothing_else(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    ids, ever = found_at(ledger), ledger.ever_by_source()
    forget(engine, ids)
    assert engine.hashes([KEYS.ban(id_) for id_ in ids]) == [{"forgotten": str(int(NOW))}] * 2
    held_elsewhere = {key: there for key, there in derived(engine).items() if key not in map(KEYS.ban, ids)}
    assert not any(id_ in str(held_elsewhere) for id_ in ids) and FID not in str(held_elsewhere)
    assert (
        engine.tally([KEYS.base(id_[:4]) for id_ in ids])
        == {"web1|sshd": 2}
        == {source: bans - 1 for source, bans in ever.items()}
    )
    assert (ledger.ever_by_source(), ledger.days()) == (ever, {"2026-11-23": 1})
    assert faults(engine) == []
    assert day_faults(engine, KEYS, "2611", "2026-11-23") == []
    assert ledger.bans(ids) == [None, None] and not ledger.damaged_keys
    assert read_bans(engine, KEYS, ids) == [Tombstone(id_, int(NOW)) for id_ in ids]
    assert show(ledger, ids[0], NOW).forgotten == int(NOW)


@pytest.mark.parametrize(
    "line", [ban(), ban(restored=1), ban(origin="import", country="CN"), prolong(seen=T0 + 9), unban(seen=T0 + 9)]
)
def test_a_line_about_a_forgotten_ban_changes_nothing_and_is_known(engine: Engine, ledger: Ledger, line: Event) -> None:
    ledger.record(LINES, nowhere)
    forget(engine, found_at(ledger))
    before = dump(engine)
    assert ledger.record([line], nowhere) == Recorded(lines=1, known=1)
    ledger.reassert = True
    assert ledger.record([line, ban("192.0.2.2")], nowhere) == Recorded(lines=2, known=2)
    assert ledger.amend(ledger.ids_of_day("2026-11-23"), nowhere) == 0
    assert dump(engine) == before


def test_a_snapshot_with_a_forgotten_ban_does_not_bring_it_back(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    forget(engine, found_at(ledger))
    ledger.record([held((FID, T0, -1, 1), as_of=T0 + 60.0)], nowhere)
    assert found_at(ledger) == [] and faults(engine) == []


def test_a_ban_that_changed_meanwhile_is_not_forgotten(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    (old,) = [one for one in ledger.bans(found_at(ledger)) if one and one.time == T0]
    ledger.record([unban(seen=T0 + 9)], nowhere)
    before = dump(engine)
    (outcome,) = engine.apply([forgetting(KEYS, old, NOW)])
    assert isinstance(outcome, Conflict) and "unbanned" in outcome.current
    assert dump(engine) == before


def test_fields_of_a_newer_version_go_too(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban()], nowhere)
    (id_,) = found_at(ledger)
    assign(engine, KEYS.ban(id_), {"reverse": "a.example"})
    forget(engine, [id_])
    assert engine.hashes([KEYS.ban(id_)]) == [{"forgotten": str(int(NOW))}]


def test_an_amendment_that_waits_may_be_forgotten_and_is_not_counted(engine: Engine, ledger: Ledger) -> None:
    ledger.record([unban(seen=T0 + 9)], nowhere)
    (id_,) = [key.rpartition(":")[2] for key in engine.keys("*:ban:*")]
    forget(engine, [id_])
    assert ledger.ever_by_source() == {} and faults(engine) == []
    assert ledger.record([ban()], nowhere) == Recorded(lines=1, known=1)


def test_a_rebuild_keeps_tombstones_and_counts(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    forget(engine, found_at(ledger))
    before = derived(engine)
    assert rebuild(engine, KEYS, 0.0).bans == 1
    assert derived(engine) == before


@pytest.mark.parametrize(
    ("damage", "repaired"),
    [({"forgotten": "x"}, str(T0)), ({"forgotten": "7", "org": "x"}, "7")],
)
def test_a_damaged_tombstone_is_found_and_stays_one(
    engine: Engine, ledger: Ledger, damage: dict[str, str], repaired: str
) -> None:
    ledger.record([ban()], nowhere)
    (id_,) = found_at(ledger)
    forget(engine, [id_])
    engine.put({KEYS.ban(id_): damage})
    assert len(faults(engine)) == 1
    assert ledger.record([ban()], nowhere).aside == 1
    rebuild(engine, KEYS, 0.0)
    assert faults(engine) == []
    assert engine.hashes([KEYS.ban(id_)]) == [{"forgotten": repaired}]
    assert ledger.record_aside(nowhere) == 1


def test_a_copy_has_tombstones_and_counts_also_those_made_since(engine: Engine, tmp_path: Path) -> None:
    source = Ledger(open_writer(tmp_path / "source.db"), KEYS, "Europe/Berlin")
    source.record(LINES, nowhere)
    one, target = CopyEnd(source.store(), KEYS), Target(engine, KEYS)
    first, second = found_at(source)
    forget(source._engine, [first])
    assert copy(one, target) == Copied(new=3)
    forget(source._engine, [second])
    assert copy(one, target) == Copied(changed=1, same=2)
    assert list(verify(one, target)) == []
    assert engine.tally([KEYS.base("2611"), KEYS.base("2701")]) == {"web1|sshd": 2}
    there = {key: value for key, value in derived(engine).items() if not key.endswith(":meta")}
    assert there == {key: value for key, value in derived(source.store()).items() if not key.endswith(":meta")}
    source.close()


def test_a_copy_takes_a_ban_back_that_its_source_has_again(engine: Engine, tmp_path: Path) -> None:
    source = Ledger(open_writer(tmp_path / "source.db"), KEYS, "Europe/Berlin")
    source.record([ban()], nowhere)
    (id_,) = found_at(source)
    (fields,) = source.store().hashes([KEYS.ban(id_)])
    one, target = CopyEnd(source.store(), KEYS), Target(engine, KEYS)
    forget(source._engine, [id_])
    copy(one, target)
    source._engine.put({KEYS.ban(id_): fields})
    rebuild(source._engine, KEYS, 0.0)
    assert copy(one, target) == Copied(changed=1)
    assert engine.hashes([KEYS.ban(id_)]) == [fields] and faults(engine) == []
    source.close()


# Properties


def run(ledger: Ledger, batches: list[list[Event]], again: bool = True) -> None:
    """Record, forget an address, and read everything again."""
    for batch in batches:
        ledger.record(batch, nowhere)
    forget(ledger._engine, found_at(ledger))
    for batch in batches if again else ():
        ledger.record(batch, nowhere)


_batches = st.lists(st.lists(events, max_size=6), max_size=3)


@given(_batches)
@settings(max_examples=40, deadline=None)
def test_counts_of_all_time_are_the_same_after_forgetting_and_engines_agree(batches: list[list[Event]]) -> None:
    _, whole = fresh()
    for batch in batches:
        whole.record(batch, nowhere)
    store, model = fresh()
    run(model, batches)
    assert model.ever_by_source() == whole.ever_by_source()
    assert faults(ReferenceEngine(store, KEYS.entries_of)) == []
    with TemporaryDirectory() as folder:
        ledger = Ledger(open_writer(Path(folder) / "ledger.db"), KEYS, "Europe/Berlin")
        run(ledger, batches)
        assert dump(ledger.store()) == dump(model.store())
        ledger.close()


@given(_batches, st.lists(st.integers(0, 90), max_size=4))
def test_forgetting_may_stop_between_any_two_steps(batches: list[list[Event]], crashes: list[int]) -> None:
    wanted, model = fresh()
    run(model, batches)
    store, _ = fresh()
    for steps in [*crashes, 1_000_000]:
        engine = _Dying(store, KEYS.entries_of)
        engine.left = steps
        try:
            run(Ledger(engine, KEYS, "Europe/Berlin"), batches)
        except _Crash:
            continue
    assert _contents(store) == _contents(wanted)
    assert faults(engine) == []


_crashes = st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=5)


@given(_batches, _crashes)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_forgetting_may_die_before_or_after_any_request_or_reply(
    redis_server: StoreServer, batches: list[list[Event]], crashes: list[tuple[int, bool]]
) -> None:
    _, model = fresh()
    run(model, batches)
    redis_server.flush()
    for left, after in [*crashes, (1_000_000, False)]:
        mortal = mortal_engine(redis_server)
        mortal.left, mortal.after = left, after
        try:
            run(Ledger(mortal, KEYS, "Europe/Berlin"), batches)
        except Crash:
            mortal.close()
    assert dump(mortal) == dump(model.store())
    assert faults(mortal) == []
    mortal.close()


# Beside another recorder


def amended(server: StoreServer, meanwhile: Callable[[Ledger], None]) -> tuple[Engine, list[str]]:
    """A recorder moves a ban to another country; something happens before it writes what follows elsewhere."""
    from banledger.geo.place import Place
    from banledger.stores.connect import Access, _client

    other = Ledger(mortal_engine(server), KEYS, "Europe/Berlin")
    other.record([ban()], nowhere)
    ids = found_at(other)
    slow = Late(_client(server.url, Access()), server.url, KEYS)
    ledger = Ledger(slow, KEYS, "Europe/Berlin")
    slow.meanwhile = lambda: meanwhile(other)
    ledger.amend(ids, lambda *_: Place("public", "FR", "test", "192.0.2.0/24", 64500, "Org", "proven"))
    return slow, ids


def test_a_ban_that_another_recorder_works_on_is_not_forgotten_before_that_is_done(redis_server: StoreServer) -> None:
    outcomes: list[Result] = []

    def attempt(other: Ledger) -> None:
        (there,) = other.bans(found_at(other))
        assert there is not None and there.country == "FR"
        outcomes.extend(other._engine.apply([forgetting(KEYS, there, NOW)]))

    engine, ids = amended(redis_server, attempt)
    (outcome,) = outcomes
    assert isinstance(outcome, Conflict) and outcome.current["country"] == "FR"
    assert faults(engine) == []
    (there,) = [one for one in read_bans(engine, KEYS, ids) if isinstance(one, Ban)]
    assert engine.apply([forgetting(KEYS, there, NOW)]) == [Applied()]
    assert faults(engine) == []
    engine.close()


def test_a_recorder_that_is_late_leaves_nothing_of_a_ban_forgotten_meanwhile(redis_server: StoreServer) -> None:
    def settle_and_forget(other: Ledger) -> None:
        other._engine.settle()
        forget(other._engine, found_at(other))

    engine, ids = amended(redis_server, settle_and_forget)
    assert [type(one) for one in read_bans(engine, KEYS, ids)] == [Tombstone]
    assert faults(engine) == []
    assert not any(key.startswith(("bans:org:", "bans:country:", "bans:top:")) for key in engine.keys("*"))
    assert engine.tally([KEYS.base("2611")]) == {"web1|sshd": 1}
    engine.close()
