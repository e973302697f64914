"""The ledger over every engine: exactly once, in any order, through any crash."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.errors import LedgerMissing, LedgerNewer, NotALedger, SettingsError
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.check import check
from banledger.ledger.key_table import META_FIELDS
from banledger.ledger.keys import PENDING_KEPT_S, Keyspace
from banledger.ledger.merge import subject_of
from banledger.ledger.reader import LedgerReader
from banledger.ledger.swap import claim
from banledger.ledger.tokens import source_token, token
from banledger.ledger.writer import Ledger
from banledger.spool.events import TICKETS_END, BanLine, Event, ProlongLine, UnbanLine
from banledger.stores.api import Applied, Engine, Repair, Result
from banledger.stores.sqlite.engine import open_writer
from tests.contract.conftest import KEYS, dump, stable
from tests.support.lines import T0, ban, events, gap, held, nowhere, prolong, ticket_lines, unban
from tests.support.reference import ReferenceEngine, Store

Ticket: TypeAlias = BanLine | ProlongLine | UnbanLine


def fresh() -> tuple[Store, Ledger]:
    """An empty ledger over the reference engine."""
    store = Store()
    return store, Ledger(ReferenceEngine(store, KEYS.entries_of), KEYS, "Europe/Berlin")


def faults(ledger: LedgerReader) -> list[str]:
    """What the check finds."""
    return [f"{fault.key} {fault.what}" for fault in check(ledger.store(), ledger.keys)]


def test_a_ban_is_one_hash_and_its_id_is_in_sets(ledger: Ledger) -> None:
    assert ledger.record([ban(users=("root",))], nowhere) == Recorded(lines=1, new=1)
    store = ledger.store()
    (id_,) = store.members("bans:country:DE")
    for key in (
        "bans:ip:192.0.2.1",
        "bans:jail:sshd",
        "bans:server:web1",
        "bans:server+jail:web1|sshd",
        "bans:user:root",
        "bans:{2611}:day:2026-11-23",
    ):
        assert list(store.members(key)) == [id_]
    (fields,) = store.hashes([f"bans:{{2611}}:ban:{id_}"])
    assert fields["ip"] == "192.0.2.1"
    assert fields["time"] == str(T0)
    assert store.ranking("bans:top:country", 0, 9) == [("DE", 1.0)]
    assert store.tally(["bans:{2611}:count:2026-11-23:jail+country"]) == {"sshd|DE": 1}
    assert store.tally(["bans:{2611}:count:2026-11-23:server+jail"]) == {"web1|sshd": 1}
    assert store.ranking("bans:active:web1|sshd", 0, 9) == [(id_, float(T0 + 600))]
    assert faults(ledger) == []


def test_recording_again_changes_nothing(ledger: Ledger) -> None:
    lines: list[Event] = [ban(), prolong(), unban("192.0.2.9"), gap()]
    ledger.record(lines, nowhere)
    before = dump(ledger.store())
    assert ledger.record(lines, nowhere) == Recorded(lines=4, known=2)
    assert dump(ledger.store()) == before


def test_an_unban_keeps_the_record_and_removes_it_from_the_active_bans(ledger: Ledger) -> None:
    ledger.record([ban()], nowhere)
    assert ledger.record([unban(seen=T0 + 60)], nowhere) == Recorded(lines=1, amended=1)
    assert ledger.store().kinds(["bans:active:web1|sshd"])[0] == "none"
    assert ledger.distinct("ip") == 1


def test_an_amendment_is_not_counted_until_its_ban_comes(ledger: Ledger) -> None:
    ledger.record([unban(seen=T0 + 60)], nowhere)
    assert ledger.days() == {}
    assert ledger.distinct("ip") == 0
    ledger.record([ban()], nowhere)
    (recorded,) = ledger.bans(ledger.ids_of_day("2026-11-23"))
    assert recorded is not None
    assert recorded.unbanned == T0 + 60
    assert faults(ledger) == []


def test_an_amendment_whose_ban_never_comes_is_forgotten(ledger: Ledger) -> None:
    ledger.record([unban(seen=T0 + 60)], nowhere)
    assert ledger.tidy(T0 + 61) == 0
    assert ledger.tidy(T0 + 61 + PENDING_KEPT_S) == 1
    assert [key for key in ledger.store().keys("*") if ":ban:" in key or "pending" in key] == []


def test_only_a_snapshot_removes_expired_bans_from_the_active_list_never_the_clock(
    ledger: Ledger,
) -> None:
    ledger.record([ban(), ban("192.0.2.2", bantime=-1)], nowhere)
    assert ledger.banned_now(T0 + 1) == 2
    assert ledger.banned_now(T0 + 601) == 1
    ledger.tidy(T0 + 601 + 10 * 365 * 86_400)
    assert ledger.store().sizes(["bans:active:web1|sshd"]) == [2]
    ledger.record([held(("192.0.2.2", T0, -1, 1), as_of=T0 + 601 + 86_400)], nowhere)
    assert ledger.store().sizes(["bans:active:web1|sshd"]) == [1]
    assert faults(ledger) == []


def test_a_day_is_local_and_may_reach_into_two_utc_months(ledger: Ledger) -> None:
    midnight = 1_793_487_600  # 2026-11-01 00:00 in Berlin, still October in UTC
    ledger.record([ban(time=midnight), ban(time=midnight + 7200), ban(time=midnight - 1)], nowhere)
    assert ledger.days() == {"2026-10-31": 1, "2026-11-01": 2}
    assert len(ledger.ids_of_day("2026-11-01")) == 2
    assert ledger.tally("jail", ["2026-11-01"]) == {"sshd": 2}
    assert ledger.tally_of("jail", ["sshd", "no"], ["2026-10-31", "2026-11-01"]) == [[1, 0], [2, 0]]
    assert ledger.distinct_on("hour", ["2026-11-01"]) == [2]
    assert faults(ledger) == []


def test_gaps_are_kept_with_what_was_lost(ledger: Ledger) -> None:
    assert ledger.record([gap(), gap()], nowhere).gaps == 1
    (lost,) = ledger.gaps()
    assert (lost.bans, lost.others, lost.reason) == (3, 1, "full")


def test_bans_from_the_first_to_the_last_second_of_ids_are_whole(ledger: Ledger) -> None:
    seconds = [1, 86_400, 946_684_799, 946_684_800, 2**31, TICKETS_END - 1]
    ledger.record([ban(time=second) for second in seconds], nowhere)
    assert faults(ledger) == []
    assert sorted(one.time for one in ledger.bans(list(ledger.ids("jail", "sshd"))) if one) == seconds
    assert sum(ledger.days().values()) == len(seconds)


@pytest.mark.parametrize(
    "name",
    [
        "pending",
        "count",
        "top",
        "active",
        "x~y",
        "a:b",
        "{x}",
        "a|b",
        "line\nbreak",
        "é\u202e",
        "x" * 10_000,
        "%41",
        " ",
        "\x00",
    ],
)
def test_hostile_names_do_not_break_keys(ledger: Ledger, name: str) -> None:
    ledger.record([ban(fid=name, jail=name, users=(name,))], nowhere)
    assert [key for key in ledger.store().keys("*") if not key.isprintable() or len(key) > 200] == []
    (recorded,) = ledger.bans(ledger.ids_of_day("2026-11-23"))
    assert recorded is not None
    assert (recorded.fid, recorded.jail) == (name, name)
    assert [ledger.sizes(what, [token(name)]) for what in ("id", "jail")] == [[1], [1]]
    assert ledger.sizes("user", [token(name[:256])]) == [1]
    assert faults(ledger) == []


def test_two_bans_with_colliding_ids_are_two_bans(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    real = "2611231234567890abcd"
    for module in ("banledger.ledger.ban_writer", "banledger.ledger.ids"):
        monkeypatch.setattr(f"{module}.ban_id", lambda *parts: real[:-1] + str(parts[-1]))
    assert ledger.record([ban(), ban("192.0.2.2")], nowhere).new == 2
    assert ledger.record([ban("192.0.2.3")], nowhere).new == 1
    assert ledger.record([ban(), ban("192.0.2.2"), ban("192.0.2.3")], nowhere) == Recorded(lines=3, known=3)
    assert faults(ledger) == []


def test_a_ledger_keeps_its_time_zone(open_engine: Callable[[], Engine]) -> None:
    engine = open_engine()
    Ledger(engine, KEYS, "Asia/Tokyo")
    assert str(Ledger(engine, KEYS, "UTC").zone) == "Asia/Tokyo"


@pytest.mark.parametrize(("zone", "said"), [("", False), ("UTC", False), ("Europe/Berlinn", True)])
def test_a_setting_of_another_time_zone_is_a_caution(open_engine: Callable[[], Engine], zone: str, said: bool) -> None:
    engine = open_engine()
    Ledger(engine, KEYS, "UTC")
    cautions = Ledger(engine, KEYS, zone).cautions()
    assert any("has no effect" in caution and zone in caution for caution in cautions) == said


def test_the_page_of_the_keyspace_has_every_field_of_the_ledgers_own_hash(engine: Engine) -> None:
    ledger = Ledger(engine, KEYS, "Europe/Berlin", "this machine")
    ledger.record([ban(), ban("192.0.2.2", server="é: web")], nowhere)
    if ledger.labels is not None:
        ledger.labels.claim(["web1", "é: web"])
    (meta,) = ledger.store().hashes([KEYS.meta])
    described = {name.partition(":")[0] for name in META_FIELDS}
    assert {name.partition(":")[0] for name in meta} == described - (set() if ledger.shared else {"server"})


def test_a_foreign_hash_or_a_newer_layout_is_refused(open_engine: Callable[[], Engine]) -> None:
    engine = open_engine()
    with pytest.raises(LedgerMissing):
        LedgerReader(engine, KEYS)
    claim(engine, "new:meta", {"layout": "99", "timezone": "UTC"})
    with pytest.raises(LedgerNewer):
        Ledger(engine, Keyspace("new"), "UTC")
    claim(engine, "odd:meta", {"colour": "red"})
    with pytest.raises(NotALedger):
        LedgerReader(engine, Keyspace("odd"))
    with pytest.raises(SettingsError):
        Ledger(engine, Keyspace("zone"), "Mars/Olympus")
    assert engine.kinds(["zone:meta"])[0] == "none"


# Properties. The reference engine stands for one over a cluster, where every step may be the last.

_batches = st.lists(st.lists(events, max_size=6), max_size=4)


@given(st.lists(events, max_size=10).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some + some))))
def test_any_order_repetition_and_batching_leaves_the_same_ledger(orders: tuple[list[Event], list[Event]]) -> None:
    once, shuffled = orders
    one, ledger = fresh()
    ledger.record(once, nowhere)
    other, again = fresh()
    for line in shuffled:
        again.record([line], nowhere)
    assert _contents(one) == _contents(other)
    assert faults(again) == []


@given(_batches)
@settings(max_examples=40, deadline=None)  # it waits for the disk
def test_the_embedded_engine_holds_what_the_reference_holds(batches: list[list[Event]]) -> None:
    _, model = fresh()
    with TemporaryDirectory() as folder:
        ledger = Ledger(open_writer(Path(folder) / "ledger.db", KEYS.projection), KEYS, "Europe/Berlin")
        for batch in batches:
            assert ledger.record(batch, nowhere) == model.record(batch, nowhere)
        assert dump(ledger.store()) == dump(model.store())
        assert faults(ledger) == []
        ledger.close()


class _Crash(BaseException):
    """The process died."""


class _Dying(ReferenceEngine):
    """Dies before its n-th step."""

    left = 0

    def apply(self, changes, advances=()):  # type: ignore[no-untyped-def]
        outcomes: list[Result] = []
        for _ in self.steps(changes, outcomes):
            self.left -= 1
            if self.left < 0:
                raise _Crash
        if all(isinstance(outcome, Applied) for outcome in outcomes):
            for one in advances:
                self._advance(one)
        return outcomes


@given(_batches, st.lists(st.integers(0, 60), max_size=4))
def test_a_crash_between_any_two_steps_is_healed(batches: list[list[Event]], crashes: list[int]) -> None:
    wanted, model = fresh()
    for batch in batches:
        model.record(batch, nowhere)
    store, _ = fresh()
    for steps in [*crashes, 1_000_000]:
        engine = _Dying(store, KEYS.entries_of)
        engine.left = steps
        try:
            ledger = Ledger(engine, KEYS, "Europe/Berlin")
            for batch in batches:
                ledger.record(batch, nowhere)
        except _Crash:
            continue
    assert _contents(store) == _contents(wanted)
    assert faults(ledger) == []


@given(st.lists(ticket_lines, max_size=5), st.lists(ticket_lines, max_size=5), st.randoms(use_true_random=False))
def test_two_concurrent_recorders_leave_the_same_ledger_as_one(
    one: list[Ticket], two: list[Ticket], turn: Random
) -> None:
    """Their steps interleave in any way; conflicts are computed again."""
    wanted, model = fresh()
    model.record([*one, *two], nowhere)
    store, ledger = fresh()
    running = {name: _steps_of(ledger, store, lines) for name, lines in (("a", one), ("b", two))}
    while running:
        name = turn.choice(sorted(running))
        if next(running[name], "end") == "end":
            del running[name]
    assert _contents(store) == _contents(wanted)
    assert faults(ledger) == []


def _steps_of(ledger: Ledger, store: Store, lines: list[Ticket]):  # type: ignore[no-untyped-def]
    """What `Ledger.record` does for single lines, with a chance for others to act between any two steps."""
    from banledger.ledger.ban_writer import _id
    from banledger.ledger.merge import merge
    from banledger.stores.api import Conflict

    engine = ReferenceEngine(store, KEYS.entries_of)
    for line in lines:
        subject = subject_of(line)
        id_ = _id(subject, 0)
        while True:
            yield
            (have,) = ledger.bans([id_])
            record = merge(have, line) if have else ledger._begin(subject, id_, [line], nowhere)
            if record is have:
                break
            engine.mend(Repair(joins=[(KEYS.months, id_[:4])]))
            engine.mend(Repair(joins=[(KEYS.sources, source_token(subject.server, subject.jail))]))
            outcomes: list[Result] = []
            yield from engine.steps([KEYS.change(have, record)], outcomes)
            if not isinstance(outcomes[0], Conflict):
                break


def _contents(store: Store) -> tuple[object, ...]:
    assert not store.outbox
    hashes = {key: stable(key, fields) for key, fields in store.hashes.items()}
    scores = {key: held.keys() if key == KEYS.feed else held for key, held in store.sorted.items()}
    return hashes, store.sets, scores
