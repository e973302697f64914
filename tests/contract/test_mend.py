"""What `Engine.mend` owes (see `stores/api.py`)."""

import pytest
from msgspec.structs import replace

from banledger.stores.api import Applied, Engine, Repair
from banledger.stores.change import Change, Score
from tests.contract.conftest import dump
from tests.contract.test_engine import COUNT, SLOT, change

SET, TOP, PENDING = "bans:colour:j", "bans:top:colour", SLOT + "pending"


def test_members_are_added_and_removed_idempotently(engine: Engine) -> None:
    engine.mend(Repair(joins=[(SET, "a"), (SET, "b")]))
    engine.mend(Repair(joins=[(SET, "b"), (SET, "c"), ("bans:colour:k", "c")], leaves=[(SET, "a"), (SET, "no")]))
    assert sorted(engine.members(SET)) == ["b", "c"]
    assert engine.sizes([SET, "bans:colour:k"]) == [2, 1]


def test_scores_are_set_and_removed_idempotently(engine: Engine) -> None:
    engine.apply([change()])
    engine.mend(Repair(tallies=[Score(COUNT, "j", 7.0), Score(COUNT, "k", 2.0)], scores=[Score(TOP, "j", 9.0)]))
    assert engine.tally([COUNT]) == {"j": 7, "k": 2}
    assert engine.ranking(TOP, 0, 9) == [("j", 9.0)]
    engine.mend(Repair(tallies=[Score(COUNT, "k", None), Score(COUNT, "no", None)], scores=[Score(TOP, "j", None)]))
    assert (engine.tally([COUNT]), engine.kinds([TOP])[0]) == ({"j": 7}, "none")


def test_an_emptied_key_disappears(engine: Engine) -> None:
    engine.mend(Repair(joins=[(SET, "a")], tallies=[Score(COUNT, "j", 1.0)], scores=[Score(PENDING, "a", 5.0)]))
    gone = Repair(leaves=[(SET, "a")], tallies=[Score(COUNT, "j", None)], scores=[Score(PENDING, "a", None)])
    engine.mend(gone)
    engine.mend(gone)
    assert [engine.kinds([key])[0] for key in (SET, COUNT, PENDING)] == ["none"] * 3


@pytest.mark.parametrize("key", [SET, COUNT, PENDING])
def test_an_emptied_key_can_hold_a_hash_and_after_that_members_again(engine: Engine, key: str) -> None:
    there = Repair(
        [(SET, "a")] if key == SET else (),
        tallies=[Score(COUNT, "a", 1.0)] if key == COUNT else (),
        scores=[Score(PENDING, "a", 1.0)] if key == PENDING else (),
    )
    gone = Repair(
        leaves=there.joins,
        tallies=[replace(score, score=None) for score in there.tallies],
        scores=[replace(score, score=None) for score in there.scores],
    )
    for _ in range(2):
        engine.mend(there)
        engine.mend(gone)
        assert engine.apply([Change(key, None, {"text": "1"})]) == [Applied()]
        assert (engine.hashes([key]), engine.kinds([key])) == ([{"text": "1"}], ["hash"])
        assert engine.apply([Change(key, {}, None)]) == [Applied()]
        assert engine.kinds([key]) == ["none"]


def test_mending_is_idempotent(engine: Engine) -> None:
    repair = Repair([(SET, "a")], [(SET, "b")], [Score(COUNT, "j", 1.0)], [Score(PENDING, "a", float("inf"))])
    engine.mend(repair)
    once = dump(engine)
    engine.mend(repair)
    assert dump(engine) == once


def test_changes_apply_on_top_of_mended_tallies(engine: Engine) -> None:
    engine.apply([change()])
    engine.mend(Repair(leaves=[(SET, "a")], tallies=[Score(COUNT, "j", 5.0)], scores=[Score(TOP, "j", 5.0)]))
    engine.mend(Repair([(SET, "a")], [], [Score(COUNT, "j", 1.0)], [Score(TOP, "j", 1.0)]))
    engine.apply([change(key=SLOT + "ban:b")])
    assert engine.ranking(TOP, 0, 9) == [("j", 2.0)]
    assert engine.tally([COUNT]) == {"j": 2}


def test_mending_nothing_is_not_an_error(engine: Engine) -> None:
    engine.mend(Repair())
    assert list(engine.keys("*")) == []
