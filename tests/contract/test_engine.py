"""What every engine owes (see `stores/api.py`)."""

import time
from collections.abc import Callable
from math import inf

import pytest

from banledger.ledger.swap import assign
from banledger.stores.api import Advance, Applied, Conflict, Engine, Hash, Repair
from banledger.stores.change import Change, Score
from tests.contract.conftest import entries_of

SLOT = "bans:{2611}:"


A, B = SLOT + "ban:a", SLOT + "ban:b"
COUNT = SLOT + "count:d:colour"


def change(before: Hash | None = None, fields: Hash | None = None, key: str = A, **more: object) -> Change:
    """From one hash to another with all that follows; guarded by `before` (None: absent)."""
    after = {"x": "1", "country": "j"} if fields is None else fields
    values: dict[str, object] = {
        "key": key,
        "guard": before,
        "fields": after or None,
        "drop": tuple((before or {}).keys() - after.keys()),
        "before": entries_of(key, before or {}),
        "after": entries_of(key, after),
    }
    return Change(**(values | more))  # type: ignore[arg-type]


FIRST = {"x": "1", "country": "j"}


def test_a_missing_key_reads_as_empty(engine: Engine) -> None:
    assert engine.hashes(["no"]) == [{}]
    assert list(engine.members("no")) == []
    assert engine.sizes(["no"]) == [0]
    assert engine.tally(["no"]) == {}
    assert engine.scores(["no"], ["x"]) == [[None]]
    assert engine.ranking("no", 0, 9) == []
    assert engine.sizes(["no"], 0) == [0]
    assert engine.kinds(["no"])[0] == "none"
    assert list(engine.keys("no*")) == []


def test_a_change_writes_the_hash_and_all_its_entries(engine: Engine) -> None:
    assert engine.apply([change(), change(key=B)]) == [Applied(), Applied()]
    assert engine.hashes([A]) == [FIRST]
    assert set(engine.members("bans:colour:j")) == {"a", "b"}
    assert [*engine.sizes(["bans:colour:j"]), *engine.sizes(["bans:top:colour", COUNT])] == [2, 1, 1]
    assert engine.ranking("bans:top:colour", 0, 9) == [("j", 2.0)]
    assert engine.tally([COUNT]) == {"j": 2}


def test_a_failed_guard_changes_nothing_and_returns_the_current_hash(engine: Engine) -> None:
    engine.apply([change()])
    assert engine.apply([change()]) == [Conflict(FIRST)]
    assert engine.apply([change({"x": "2"})]) == [Conflict(FIRST)]
    assert engine.apply([change(guard={"y": "1"})]) == [Conflict(FIRST)]
    assert engine.apply([change(key=B, guard={"x": None})]) == [Conflict({})]
    assert engine.tally([COUNT]) == {"j": 1}


@pytest.mark.parametrize("least", [1, 3])
def test_tallies_are_summed_for_any_member_name(engine: Engine, least: int) -> None:
    names = ["a", "a b", "a,b", "'\"\\", "é", "中", "7", " "]
    other = COUNT.replace("2611", "2612")
    engine.mend(Repair(tallies=[Score(COUNT, name, float(least)) for name in names]))
    engine.mend(Repair(tallies=[Score(other, name, float(n)) for n, name in enumerate(names[:6], 1)]))
    added = [least + n for n in (1, 2, 3, 4, 5, 6, 0, 0)]
    assert engine.tally([COUNT, "no", other]) == dict(zip(names, added, strict=True))


def test_damaged_tallies_are_summed_as_stored(engine: Engine) -> None:
    other = COUNT.replace("2611", "2612")
    engine.mend(Repair(tallies=[Score(COUNT, name, 1.0) for name in "abcdef"]))
    engine.mend(Repair(tallies=[Score(other, "a", -1.0), Score(other, "b", 0.0), Score(other, "g", -2.0)]))
    assert engine.tally([COUNT, other]) == {"a": 0, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": -2}
    assert engine.tally([other]) == {"a": -1, "b": 0, "g": -2}


def test_a_guard_may_require_values_or_absence(engine: Engine) -> None:
    engine.apply([change()])
    assert engine.apply([change(FIRST, {"y": "2"}, guard={"x": "1", "y": None})]) == [Applied()]
    assert engine.hashes([A]) == [{"y": "2"}]
    assert [*engine.sizes(["bans:colour:j"]), *engine.sizes(["bans:top:colour", COUNT])] == [0, 0, 0]


def test_one_conflict_in_a_batch_does_not_stop_the_others(engine: Engine) -> None:
    engine.apply([change()])
    assert engine.apply([change(), change(key=B)]) == [Conflict(FIRST), Applied()]


def test_moving_from_one_set_to_another_moves_the_rankings(engine: Engine) -> None:
    engine.apply([change(), change(key=B)])
    engine.apply([change(FIRST, {"x": "1", "country": "k"})])
    assert dict(engine.ranking("bans:top:colour", 0, 9)) == {"j": 1.0, "k": 1.0}
    assert engine.tally([COUNT]) == {"j": 1, "k": 1}
    assert list(engine.members("bans:colour:k")) == ["a"]


def test_removing_a_hash_removes_all_its_entries(engine: Engine) -> None:
    engine.apply([change(fields=FIRST | {"day": "d", "pending": "1"})])
    assert list(engine.members(SLOT + "day:d")) == ["a"]
    engine.apply([change(FIRST | {"day": "d", "pending": "1"}, {})])
    assert list(engine.keys("*")) == []
    assert engine.apply([change()]) == [Applied()]


def test_scores_are_put_and_removed_in_sorted_sets_of_the_slot(engine: Engine) -> None:
    engine.apply([change(fields=FIRST | {"pending": "5"})])
    assert engine.lowest(SLOT + "pending", 5.0, 9) == [("a", 5.0)]
    engine.apply([change(FIRST | {"pending": "5"}, FIRST)])
    assert engine.kinds([SLOT + "pending"])[0] == "none"


def test_scores_outside_follow_the_hash(engine: Engine) -> None:
    engine.apply([change(fields={"bantime": "inf"})])
    assert engine.ranking("bans:active:web1|sshd", 0, 9) == [("a", float("inf"))]
    engine.apply([change({"bantime": "inf"}, {"bantime": "5"})])
    assert engine.ranking("bans:active:web1|sshd", 0, 9) == [("a", 5.0)]
    engine.apply([change({"bantime": "5"}, {"x": "1"})])
    assert engine.kinds(["bans:active:web1|sshd"])[0] == "none"


@pytest.mark.parametrize("key", [SLOT + "count:2026-11-23:ip", "bans:top:ip"])
def test_all_entries_of_a_sorted_set_are_read_once_however_many_they_are(engine: Engine, key: str) -> None:
    scores = [Score(key, f"n{number}", float(1 + number % 7)) for number in range(25_000)]
    engine.mend(Repair(tallies=scores) if ":count:" in key else Repair(scores=scores))
    found = list(engine.entries(key))
    assert len(found) == len(scores)
    assert dict(found) == {score.member: score.score for score in scores}
    assert list(engine.entries("no")) == []


def test_rankings_are_highest_first_and_equal_ones_backwards_by_bytes(engine: Engine) -> None:
    pairs = [("a", "1"), ("b", "2"), ("é", "1"), ("z", "1")]
    engine.apply([change(key=f"{SLOT}ban:{name}", fields={"pending": score}) for name, score in pairs])
    assert engine.ranking(SLOT + "pending", 0, 9) == [("b", 2.0), ("é", 1.0), ("z", 1.0), ("a", 1.0)]
    assert engine.ranking(SLOT + "pending", 1, 2) == [("é", 1.0), ("z", 1.0)]
    assert engine.sizes([SLOT + "pending", "no"], 2.0) == [1, 0]
    assert engine.scores([SLOT + "pending", "no"], ["z", "no", "b"]) == [[1.0, None, 2.0], [None, None, None]]


def test_lowest_lists_members_between_two_scores_lowest_first(engine: Engine) -> None:
    engine.apply([change(key=f"{SLOT}ban:{n}", fields={"pending": str(n)}) for n in range(5)])
    rows = [(str(n), float(n)) for n in range(5)]
    assert engine.lowest(SLOT + "pending", 2.0, 2) == rows[:2]
    assert engine.lowest(SLOT + "pending", 2.0, 9) == rows[:3]
    assert engine.lowest(SLOT + "pending", 9.0, 9) == rows
    assert engine.lowest(SLOT + "pending", inf, 2, above=1.0) == rows[2:4]
    assert engine.lowest(SLOT + "pending", 3.0, 9, above=0.5) == rows[1:4]
    assert engine.lowest(SLOT + "pending", inf, 9, above=4.0) == engine.lowest("no", inf, 9, above=0.0) == []


def test_joining_is_idempotent(engine: Engine) -> None:
    engine.mend(Repair(joins=[("bans:months", "2611"), ("bans:months", "2612")]))
    engine.mend(Repair(joins=[("bans:months", "2612")]))
    assert sorted(engine.members("bans:months")) == ["2611", "2612"]
    assert engine.sizes(["bans:months"]) == [2]


def test_large_sets_are_read_completely(engine: Engine) -> None:
    names = [f"{n:05d}" for n in range(2500)]
    engine.mend(Repair(joins=[("s", name) for name in names]))
    assert sorted(engine.members("s")) == names


def test_hash_values_may_hold_anything(engine: Engine) -> None:
    odd = {"x": "a\0b\n\x1b[31m\u202e é 🦀 '\"; DROP TABLE key", "y": "z" * 100_000}
    engine.apply([change(fields=odd)])
    assert engine.hashes([A]) == [odd]


def test_keys_match_glob_patterns_and_kinds_are_redis_words(engine: Engine) -> None:
    engine.apply([change()])
    assert set(engine.keys("bans:*:colour")) == {COUNT, "bans:top:colour"}
    assert set(engine.keys("bans:co?our:*")) == {"bans:colour:j"}
    assert [engine.kinds([key])[0] for key in (A, "bans:colour:j", "bans:top:colour", COUNT)] == [
        "hash",
        "set",
        "zset",
        "zset",
    ]


def test_everything_is_there_after_the_store_is_opened_again(engine: Engine, open_engine: Callable[[], Engine]) -> None:
    engine.apply([change()])
    engine.close()
    again = open_engine()
    assert again.settle() == 0
    assert again.hashes([A]) == [FIRST]


@pytest.mark.parametrize("size", [1, 3, 1500])
def test_batch_size_does_not_change_the_counts(engine: Engine, size: int) -> None:
    changes = [change(key=f"{SLOT}ban:{n:05d}") for n in range(size)]
    assert engine.apply(changes) == [Applied()] * size
    assert engine.ranking("bans:top:colour", 0, 2) == [("j", float(size))]
    assert engine.tally([COUNT]) == {"j": size}


def test_put_writes_exactly_the_new_hash_or_removes_it(engine: Engine) -> None:
    assign(engine, "bans:whois:192.0.2.0/24", {"name": "OLD", "country": "DE"})
    engine.put({"bans:whois:192.0.2.0/24": {"name": "NEW"}, "bans:cell:192.0.2.0/24": {"asked": "1"}})
    assert engine.hashes(["bans:whois:192.0.2.0/24", "bans:cell:192.0.2.0/24"]) == [{"name": "NEW"}, {"asked": "1"}]
    engine.put({"bans:whois:192.0.2.0/24": {}, "bans:cell:never": {}})
    assert engine.hashes(["bans:whois:192.0.2.0/24"]) == [{}]
    assert sorted(engine.keys("*")) == ["bans:cell:192.0.2.0/24"]
    engine.put({"bans:whois:192.0.2.0/24": {"name": "AGAIN"}})
    assert engine.hashes(["bans:whois:192.0.2.0/24"]) == [{"name": "AGAIN"}]


KEY = "bans:position:web1"


def test_an_advance_only_raises_values_and_removes_named_fields(engine: Engine) -> None:
    engine.apply([], [Advance(KEY, {"a": "10 x", "b": "7"})])
    engine.apply([], [Advance(KEY, {"a": "9 y", "b": "12", "c": "1"})])
    assert engine.hashes([KEY]) == [{"a": "10 x", "b": "12", "c": "1"}]
    engine.apply([], [Advance(KEY, {}, ("a", "b", "d"))])
    assert engine.hashes([KEY]) == [{"c": "1"}]
    engine.apply([], [Advance(KEY, {}, ("c",))])
    assert engine.kinds([KEY])[0] == "none"


def test_an_advance_is_written_with_applied_changes_or_alone(engine: Engine) -> None:
    engine.apply([change()], [Advance(KEY, {"a": "1"})])
    assert engine.hashes([KEY]) == [{"a": "1"}]
    engine.apply([change(), change(key=B)], [Advance(KEY, {"a": "2"})])
    assert engine.hashes([KEY]) == [{"a": "1"}]
    engine.apply([], [Advance(KEY, {"a": "3"})])
    assert engine.hashes([KEY]) == [{"a": "3"}]


def test_fields_are_read_in_the_order_of_keys_and_names(engine: Engine) -> None:
    names = [f"h{n:04d}" for n in range(2600)]
    engine.put({name: {"a": f"{name}\n", "é": "ü"} for name in names})
    engine.mend(Repair(joins=[("s", "x")]))

    assert list(engine.fields([*reversed(names), "no", "s"], ["é", "no", "a"])) == [
        *[["ü", None, f"{name}\n"] for name in reversed(names)],
        [None, None, None],
        [None, None, None],
    ]
    assert list(engine.fields([], ["a"])) == []
    assert engine.hashes(["h0000"]) == [{"a": "h0000\n", "é": "ü"}]


def test_details_name_the_program_its_size_and_the_time(engine: Engine) -> None:
    details = engine.details()
    assert details.program
    assert details.size is not None
    assert details.clock is not None
    assert abs(details.clock - time.time()) < 60
    assert details.of_server == engine.shared
