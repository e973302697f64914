"""What `Engine.mend` owes (see `stores/api.py`)."""

from banledger.stores.api import Engine, Repair
from banledger.stores.change import Mark
from tests.contract.conftest import dump
from tests.contract.test_engine import COUNT, SLOT, change

SET, TOP, PENDING = "bans:country:j", "bans:top:country", SLOT + "pending"


def test_members_are_added_and_removed_idempotently(engine: Engine) -> None:
    engine.enlist(SET, ["a", "b"])
    engine.mend(Repair(joins=[(SET, "b"), (SET, "c"), ("bans:country:k", "c")], leaves=[(SET, "a"), (SET, "no")]))
    assert sorted(engine.members(SET)) == ["b", "c"]
    assert engine.cards([SET, "bans:country:k"]) == [2, 1]


def test_scores_are_set_and_removed_idempotently(engine: Engine) -> None:
    engine.apply([change()])
    engine.mend(Repair(tallies=[Mark(COUNT, "j", 7.0), Mark(COUNT, "k", 2.0)], marks=[Mark(TOP, "j", 9.0)]))
    assert engine.tally([COUNT]) == {"j": 7, "k": 2}
    assert engine.ranking(TOP, 0, 9) == [("j", 9.0)]
    engine.mend(Repair(tallies=[Mark(COUNT, "k", None), Mark(COUNT, "no", None)], marks=[Mark(TOP, "j", None)]))
    assert (engine.tally([COUNT]), engine.kind(TOP)) == ({"j": 7}, "none")


def test_an_emptied_key_disappears(engine: Engine) -> None:
    engine.mend(Repair(joins=[(SET, "a")], tallies=[Mark(COUNT, "j", 1.0)], marks=[Mark(PENDING, "a", 5.0)]))
    gone = Repair(leaves=[(SET, "a")], tallies=[Mark(COUNT, "j", None)], marks=[Mark(PENDING, "a", None)])
    engine.mend(gone)
    engine.mend(gone)
    assert [engine.kind(key) for key in (SET, COUNT, PENDING)] == ["none"] * 3


def test_mending_is_idempotent(engine: Engine) -> None:
    repair = Repair([(SET, "a")], [(SET, "b")], [Mark(COUNT, "j", 1.0)], [Mark(PENDING, "a", float("inf"))])
    engine.mend(repair)
    once = dump(engine)
    engine.mend(repair)
    assert dump(engine) == once


def test_changes_apply_on_top_of_mended_tallies(engine: Engine) -> None:
    engine.apply([change()])
    engine.mend(Repair(leaves=[(SET, "a")], tallies=[Mark(COUNT, "j", 5.0)], marks=[Mark(TOP, "j", 5.0)]))
    engine.mend(Repair([(SET, "a")], [], [Mark(COUNT, "j", 1.0)], [Mark(TOP, "j", 1.0)]))
    engine.apply([change(key=SLOT + "ban:b")])
    assert engine.ranking(TOP, 0, 9) == [("j", 2.0)]
    assert engine.tally([COUNT]) == {"j": 2}


def test_mending_nothing_is_not_an_error(engine: Engine) -> None:
    engine.mend(Repair())
    assert list(engine.keys("*")) == []
