"""Heartbeats in every store: written side by side, read at once, checked, repaired and not copied."""

from banledger.ledger.check import check
from banledger.ledger.copy import CopyEnd, Target, copy, verify
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.keys import Keyspace
from banledger.ledger.rebuild import rebuild
from banledger.ledger.writer import Ledger
from banledger.stores.api import Engine
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, nowhere
from tests.support.reference import ReferenceEngine, Store

NOW = T0 + 3600.0
ONE, TWO = "0123456789ab", "ba9876543210"


def beat(id_: str = ONE, host: str = "web1", lines: int = 0) -> Heartbeat:
    return Heartbeat(NOW, NOW - 60, host, 7, "1", id=id_, lines=lines)


def by_id(ledger: Ledger) -> dict[str, Heartbeat]:
    return {one.id: one for one in ledger.heartbeats()}


def test_each_recorder_replaces_its_own(ledger: Ledger) -> None:
    for one in (beat(), beat(TWO, "web2"), beat(lines=5)):
        ledger.beat(one)
    assert by_id(ledger) == {ONE: beat(lines=5), TWO: beat(TWO, "web2")}


def test_those_of_recorders_that_are_gone_can_be_removed(ledger: Ledger) -> None:
    ledger.beat(beat())
    ledger.beat(beat(TWO))
    ledger.drop_heartbeats([ONE])
    assert by_id(ledger) == {TWO: beat(TWO)}
    ledger.drop_heartbeats([TWO])
    assert by_id(ledger) == {}


def test_a_damaged_one_is_left_out_named_and_removed_alone(ledger: Ledger, engine: Engine) -> None:
    ledger.beat(beat())
    ledger.beat(beat(TWO))
    (fields,) = engine.hashes([KEYS.heartbeats])
    engine.put({KEYS.heartbeats: fields | {TWO: "{}"}})
    assert by_id(ledger) == {ONE: beat()}
    assert list(ledger.damaged_keys) == [KEYS.heartbeats]
    assert [fault.key for fault in check(engine, KEYS, NOW)] == [KEYS.heartbeats]
    assert rebuild(engine, KEYS, NOW).repaired == 1
    assert by_id(ledger) == {ONE: beat()}
    assert list(check(engine, KEYS, NOW)) == []


def test_a_ledger_with_heartbeats_has_no_fault(ledger: Ledger, engine: Engine) -> None:
    ledger.record([ban()], nowhere)
    ledger.beat(beat())
    assert list(check(engine, KEYS, NOW)) == []
    rebuild(engine, KEYS, NOW)
    assert by_id(ledger) == {ONE: beat()}


def test_a_copy_has_none_and_does_not_differ(ledger: Ledger, engine: Engine) -> None:
    ledger.record([ban()], nowhere)
    ledger.beat(beat())
    keys = Keyspace("copy")
    target = Target(ReferenceEngine(Store(), keys.entries_of), keys)
    copy(CopyEnd(engine, KEYS), target)
    assert list(verify(CopyEnd(engine, KEYS), target)) == []
    assert target.engine.hashes([keys.heartbeats]) == [{}]
