"""One damaged hash stops nothing else: its lines wait, a rebuild mends it, then they are recorded. On all engines."""

from collections.abc import Callable

import pytest

from banledger.ledger.ban_writer import Recorded
from banledger.ledger.check import check
from banledger.ledger.rebuild import rebuild
from banledger.ledger.swap import assign
from banledger.ledger.writer import Ledger
from banledger.spool.events import Event
from banledger.stores.api import Engine, Repair
from banledger.stores.change import Score
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, gap, held, nowhere, start, unban

OTHER = ban("192.0.2.2")


def key_of(ledger: Ledger, address: str) -> str:
    (id_,) = ledger.ids("ip", address)
    return KEYS.ban(id_)


def faults(engine: Engine) -> dict[str, str]:
    return {fault.key: fault.what for fault in check(engine, KEYS)}


@pytest.fixture
def key(ledger: Ledger) -> str:
    """The hash of a recorded ban."""
    ledger.record([ban(users=("root",), matches=("a line",)), ban("192.0.2.9")], nowhere)
    return key_of(ledger, "192.0.2.1")


@pytest.mark.parametrize(
    ("field", "rubbish"),
    [("failures", "x"), ("bantime", "9" * 400), ("users", "[root"), ("day", "soon"), ("country", "\x1b[2J"),
     ("seen", "inf"), ("origin", ""), ("time", "-1"), ("scope", "é"), ("expires", "nan"), ("hour", "99")],
)  # fmt: skip
def test_lines_of_a_damaged_ban_wait_and_are_recorded_after_a_rebuild(
    engine: Engine, ledger: Ledger, key: str, field: str, rubbish: str
) -> None:
    assign(engine, key, {field: rubbish})
    lines: list[Event] = [unban(seen=T0 + 60), OTHER]
    assert ledger.record(lines, nowhere) == Recorded(lines=2, new=1, aside=1)
    (notice,) = ledger.notices()
    assert notice.startswith(f"{key} is damaged: ") and notice.isprintable()
    ledger.record(lines, nowhere)
    assert ledger.notices() == []
    assert engine.hashes([key])[0][field] == rubbish
    assert faults(engine)[key].startswith("is damaged: ")
    assert ledger.record_aside(nowhere) == 0

    done = rebuild(engine, KEYS, 0.0)
    assert (done.repaired, done.unreadable) == (1, 0)
    assert faults(engine) == {}
    assert ledger.record_aside(nowhere) == 1
    assert list(engine.members(KEYS.aside)) == []
    (mended,) = ledger.bans([key.rpartition(":")[2]])
    assert mended is not None and mended.unbanned == T0 + 60 and mended.matches == ("a line",)
    assert faults(engine) == {}


@pytest.mark.parametrize(("field", "rubbish"), [("jail", "other"), ("server", "x" * (3 << 20)), ("ip", "1.2.3.4.5")])
def test_a_hash_whose_ban_is_unknown_goes_to_quarantine(
    engine: Engine, ledger: Ledger, key: str, field: str, rubbish: str
) -> None:
    assign(engine, key, {field: rubbish})
    assert key in faults(engine)
    assert rebuild(engine, KEYS, 0.0).unreadable == 1
    assert faults(engine) == {}
    assert engine.hashes([KEYS.quarantine(key)])[0][field] == rubbish
    assert ledger.record([ban(users=("root",))], nowhere).new == 1
    assert faults(engine) == {}


def test_a_wrong_type_at_a_bans_key_sets_its_lines_aside_or_is_overwritten(
    engine: Engine, ledger: Ledger, key: str
) -> None:
    engine.put({key: {}})
    engine.mend(Repair(joins=[(key, "rubbish")]))
    assert key in faults(engine)
    done = ledger.record([ban(users=("root",)), OTHER], nowhere)
    assert done.new + done.aside == 2
    rebuild(engine, KEYS, 0.0)
    ledger.record_aside(nowhere)
    assert faults(engine) == {}
    assert ledger.days() == {"2026-11-23": 3}


def test_snapshots_do_not_amend_a_damaged_ban(engine: Engine, ledger: Ledger) -> None:
    ledger.record([start(T0 - 9), ban(writer="a", bantime=-1)], nowhere)
    assign(engine, key_of(ledger, "192.0.2.1"), {"failures": "x"})
    for number in range(3):
        snapshot = held(("192.0.2.1", T0, 600, 1), as_of=T0 + 60.0 * number + 30)
        assert ledger.record([snapshot], nowhere) == Recorded(lines=1)
    assert list(engine.members(KEYS.aside)) == []


def test_a_damaged_gap_is_left_out_reported_and_repaired(engine: Engine, ledger: Ledger) -> None:
    ledger.record([gap(), gap(T0 + 60)], nowhere)
    (key, *_) = engine.keys("bans:{2611}:gap:*")
    fields = engine.hashes([key])[0]
    del fields["since"]
    engine.put({key: fields})
    assert len(ledger.gaps()) == 1 and list(ledger.damaged_keys) == [key]
    assert faults(engine)[key] == "is damaged: since is missing"
    rebuild(engine, KEYS, 0.0)
    assert len(ledger.gaps()) == 2 and faults(engine) == {}


def test_invalid_outbox_entries_are_set_aside_logged_reported_and_removed(open_engine: Callable[[], Engine]) -> None:
    engine = open_engine()
    Ledger(engine, KEYS, "UTC").record([ban()], nowhere)
    outbox = KEYS.outbox("2611")
    rubbish = {
        "a:1": "{",
        "b:2": '[["other:key",[[null]]]]',
        "c:3": "[" * 5000,
        "d:4": '[["bans:{2611}:ban:x",[["?"]]]]',
    }
    assign(engine, outbox, rubbish)
    engine.close()
    engine = open_engine()
    ledger = Ledger(engine, KEYS, "UTC")
    said = [caution for caution in ledger.cautions() if outbox in caution]
    assert len(said) == engine.shared
    assert ledger.record([OTHER], nowhere).new == 1
    assert outbox in faults(engine)
    rebuild(engine, KEYS, 0.0)
    assert faults(engine) == {}
    assert len(list(ledger.ids("jail", "sshd"))) == 2


def test_invalid_scores_and_members_are_left_out_reported_and_removed(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban()], nowhere)
    inf = float("inf")
    top = [Score(KEYS.top("day"), day, 5.0) for day in ("soon", "9999-12-31", "2026-02-30", "\x1b[2J", "0001-01-01")]
    top += [Score(KEYS.top("jail"), "\x1b[2J", 2.0), Score(KEYS.top("country"), "DE", inf), Score(KEYS.gaps, "x", inf)]
    engine.mend(Repair(scores=top, joins=[(KEYS.months, "*"), (KEYS.sources, "\x1b")]))
    assert ledger.days() == {"2026-11-23": 1}
    assert dict(ledger.ranked("country")) == {}
    assert faults(engine).keys() >= {mark.key for mark in top} | {KEYS.months, KEYS.sources}
    rebuild(engine, KEYS, 0.0)
    assert faults(engine) == {}
