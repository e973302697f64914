"""What every engine owes (see `stores/api.py`)."""

from collections.abc import Callable

import pytest

from banledger.stores.api import Advance, Applied, Conflict, Engine, Hash, Held, Repair
from banledger.stores.change import Change, Mark
from tests.contract.conftest import standing_of

SLOT = "bans:{2611}:"


A, B = SLOT + "ban:a", SLOT + "ban:b"
COUNT = SLOT + "count:d:country"


def change(before: Hash | None = None, fields: Hash | None = None, key: str = A, **more: object) -> Change:
    """From one hash to another with all that follows; guarded by `before` (None: absent)."""
    after = {"x": "1", "country": "j"} if fields is None else fields
    jails = [hash_.get("country") for hash_ in (before or {}, after)]
    tallies = [(COUNT, jail, delta) for jail, delta in zip(jails, (-1, 1), strict=True) if jail]
    values: dict[str, object] = {
        "slot": "2611",
        "key": key,
        "guard": before,
        "fields": after,
        "drop": tuple((before or {}).keys() - after.keys()),
        "remove": not after,
        "before": standing_of(key, before or {}),
        "after": standing_of(key, after),
        "gone": before or {},
        "tallies": tuple(tallies) if jails[0] != jails[1] else (),
    }
    return Change(**(values | more))  # type: ignore[arg-type]


FIRST = {"x": "1", "country": "j"}


def test_a_missing_key_reads_as_empty(engine: Engine) -> None:
    assert engine.hashes(["no"]) == [{}]
    assert list(engine.members("no")) == []
    assert engine.cards(["no"]) == [0]
    assert engine.tally(["no"]) == {}
    assert engine.scores(["no"], ["x"]) == [[None]]
    assert engine.ranking("no", 0, 9) == []
    assert engine.above(["no"], 0) == [0]
    assert engine.kind("no") == "none"
    assert list(engine.keys("no*")) == []


def test_a_change_writes_the_hash_and_all_its_entries(engine: Engine) -> None:
    assert engine.apply([change(), change(key=B)]) == [Applied(), Applied()]
    assert engine.hashes([A]) == [FIRST]
    assert set(engine.members("bans:country:j")) == {"a", "b"}
    assert [*engine.cards(["bans:country:j"]), *engine.above(["bans:top:country", COUNT])] == [2, 1, 1]
    assert engine.ranking("bans:top:country", 0, 9) == [("j", 2.0)]
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
    engine.mend(Repair(tallies=[Mark(COUNT, name, float(least)) for name in names]))
    engine.mend(Repair(tallies=[Mark(other, name, float(n)) for n, name in enumerate(names[:6], 1)]))
    added = [least + n for n in (1, 2, 3, 4, 5, 6, 0, 0)]
    assert engine.tally([COUNT, "no", other]) == dict(zip(names, added, strict=True))


def test_damaged_tallies_are_summed_as_stored(engine: Engine) -> None:
    other = COUNT.replace("2611", "2612")
    engine.mend(Repair(tallies=[Mark(COUNT, name, 1.0) for name in "abcdef"]))
    engine.mend(Repair(tallies=[Mark(other, "a", -1.0), Mark(other, "b", 0.0), Mark(other, "g", -2.0)]))
    assert engine.tally([COUNT, other]) == {"a": 0, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": -2}
    assert engine.tally([other]) == {"a": -1, "b": 0, "g": -2}


def test_a_guard_may_require_values_or_absence(engine: Engine) -> None:
    engine.apply([change()])
    assert engine.apply([change(FIRST, {"y": "2"}, guard={"x": "1", "y": None})]) == [Applied()]
    assert engine.hashes([A]) == [{"y": "2"}]
    assert [*engine.cards(["bans:country:j"]), *engine.above(["bans:top:country", COUNT])] == [0, 0, 0]


def test_one_conflict_in_a_batch_does_not_stop_the_others(engine: Engine) -> None:
    engine.apply([change()])
    assert engine.apply([change(), change(key=B)]) == [Conflict(FIRST), Applied()]


def test_moving_from_one_set_to_another_moves_the_rankings(engine: Engine) -> None:
    engine.apply([change(), change(key=B)])
    engine.apply([change(FIRST, {"x": "1", "country": "k"})])
    assert dict(engine.ranking("bans:top:country", 0, 9)) == {"j": 1.0, "k": 1.0}
    assert engine.tally([COUNT]) == {"j": 1, "k": 1}
    assert list(engine.members("bans:country:k")) == ["a"]


def test_removing_a_hash_removes_all_its_entries(engine: Engine) -> None:
    engine.apply([change(joins=(SLOT + "day:d",))])
    engine.apply([change(FIRST, {}, leaves=(SLOT + "day:d",))])
    assert list(engine.keys("*")) == []
    assert engine.apply([change()]) == [Applied()]


def test_marks_set_and_remove_members_of_sorted_sets(engine: Engine) -> None:
    engine.apply([change(marks=(Mark(SLOT + "pending", "a", 5.0),))])
    assert engine.due(SLOT + "pending", 5.0, 9) == ["a"]
    engine.apply([change(FIRST, FIRST, marks=(Mark(SLOT + "pending", "a", None),))])
    assert engine.kind(SLOT + "pending") == "none"


def test_marks_outside_follow_the_hash(engine: Engine) -> None:
    engine.apply([change(fields={"bantime": "inf"})])
    assert engine.ranking("bans:active:web1|sshd", 0, 9) == [("a", float("inf"))]
    engine.apply([change({"bantime": "inf"}, {"bantime": "5"})])
    assert engine.ranking("bans:active:web1|sshd", 0, 9) == [("a", 5.0)]
    engine.apply([change({"bantime": "5"}, {"x": "1"})])
    assert engine.kind("bans:active:web1|sshd") == "none"


def test_rankings_are_highest_first_and_equal_ones_backwards_by_bytes(engine: Engine) -> None:
    marks = tuple(
        Mark(SLOT + "pending", member, score) for member, score in [("a", 1.0), ("b", 2.0), ("é", 1.0), ("z", 1.0)]
    )
    engine.apply([change(marks=marks)])
    assert engine.ranking(SLOT + "pending", 0, 9) == [("b", 2.0), ("é", 1.0), ("z", 1.0), ("a", 1.0)]
    assert engine.ranking(SLOT + "pending", 1, 2) == [("é", 1.0), ("z", 1.0)]
    assert engine.above([SLOT + "pending", "no"], 2.0) == [1, 0]
    assert engine.scores([SLOT + "pending", "no"], ["z", "no", "b"]) == [[1.0, None, 2.0], [None, None, None]]


def test_due_lists_members_up_to_a_score_lowest_first(engine: Engine) -> None:
    engine.apply([change(marks=tuple(Mark(SLOT + "pending", str(n), float(n)) for n in range(5)))])
    assert engine.due(SLOT + "pending", 2.0, 2) == ["0", "1"]
    assert engine.due(SLOT + "pending", 2.0, 9) == ["0", "1", "2"]
    assert engine.due(SLOT + "pending", 9.0, 9) == ["0", "1", "2", "3", "4"]


def test_claim_keeps_an_existing_value(engine: Engine) -> None:
    assert engine.claim("bans:meta", {"layout": "1"}) == {"layout": "1"}
    assert engine.claim("bans:meta", {"layout": "2", "zone": "UTC"}) == {"layout": "1", "zone": "UTC"}


def test_assign_replaces_named_fields_and_keeps_the_others(engine: Engine) -> None:
    engine.assign("bans:meta", {"layout": "1", "zone": "UTC"})
    engine.assign("bans:meta", {"layout": "2"})
    assert engine.hashes(["bans:meta"]) == [{"layout": "2", "zone": "UTC"}]


def test_enlisting_is_idempotent(engine: Engine) -> None:
    engine.enlist("bans:months", ["2611", "2612"])
    engine.enlist("bans:months", ["2612"])
    assert sorted(engine.members("bans:months")) == ["2611", "2612"]
    assert engine.cards(["bans:months"]) == [2]


def test_large_sets_are_read_completely(engine: Engine) -> None:
    names = [f"{n:05d}" for n in range(2500)]
    engine.enlist("s", names)
    assert sorted(engine.members("s")) == names


def test_hash_values_may_hold_anything(engine: Engine) -> None:
    odd = {"x": "a\0b\n\x1b[31m\u202e é 🦀 '\"; DROP TABLE key", "y": "z" * 100_000}
    engine.apply([change(fields=odd)])
    assert engine.hashes([A]) == [odd]


def test_keys_match_glob_patterns_and_kinds_are_redis_words(engine: Engine) -> None:
    engine.apply([change()])
    assert set(engine.keys("bans:*:country")) == {COUNT, "bans:top:country"}
    assert set(engine.keys("bans:co?ntry:*")) == {"bans:country:j"}
    assert [engine.kind(key) for key in (A, "bans:country:j", "bans:top:country", COUNT)] == [
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
    assert engine.ranking("bans:top:country", 0, 2) == [("j", float(size))]
    assert engine.tally([COUNT]) == {"j": size}


def test_replace_writes_exactly_the_new_hash_or_removes_it(engine: Engine) -> None:
    engine.assign("bans:whois:192.0.2.0/24", {"name": "OLD", "country": "DE"})
    engine.replace({"bans:whois:192.0.2.0/24": {"name": "NEW"}, "bans:cell:192.0.2.0/24": {"asked": "1"}})
    assert engine.hashes(["bans:whois:192.0.2.0/24", "bans:cell:192.0.2.0/24"]) == [{"name": "NEW"}, {"asked": "1"}]
    engine.replace({"bans:whois:192.0.2.0/24": {}, "bans:cell:never": {}})
    assert engine.hashes(["bans:whois:192.0.2.0/24"]) == [{}]
    assert sorted(engine.keys("*")) == ["bans:cell:192.0.2.0/24"]
    engine.replace({"bans:whois:192.0.2.0/24": {"name": "AGAIN"}})
    assert engine.hashes(["bans:whois:192.0.2.0/24"]) == [{"name": "AGAIN"}]


def test_a_lease_has_one_holder_until_it_is_released_or_expires_unchanged(engine: Engine) -> None:
    engine.assign("bans:lookups", {"pause:ripe": "9.0"})

    def lease(holder: str, until: str, seen: Held = Held()) -> Held:  # noqa: B008  # frozen
        return engine.lease("bans:lookups", Held(holder, until), seen)

    assert lease("a", "70.5") == Held("a", "70.5")
    assert lease("b", "130") == Held("a", "70.5")
    assert lease("a", "120") == Held("a", "120")
    assert lease("b", "180", seen=Held("a", "70.5")) == Held("a", "120")
    assert lease("b", "180", seen=Held("a", "120")) == Held("b", "180")
    assert lease("a", "190", seen=Held("a", "120")) == Held("b", "180")
    assert lease("a", "0") == Held("b", "180")
    assert lease("b", "0") == Held("b", "0")
    assert lease("a", "190") == Held("a", "190")
    assert engine.hashes(["bans:lookups"]) == [{"holder": "a", "until": "190", "pause:ripe": "9.0"}]


@pytest.mark.parametrize("free", [{"until": "9e9"}, {"holder": "a"}, {"holder": "a", "until": "soon"}])
def test_an_invalid_lease_counts_as_free(engine: Engine, free: Hash) -> None:
    engine.assign("bans:lookups", free)
    assert engine.lease("bans:lookups", Held("b", "70"), Held()) == Held("b", "70")


def test_fields_are_exchanged_only_if_one_has_the_expected_value(engine: Engine) -> None:
    key, (one, two, other) = "bans:label:web1", ({"nonce": "1", "last": ""}, {"nonce": "2"}, {"rival": "é"})
    assert engine.exchange(key, "nonce", ["9"], one, {}) == {}
    assert engine.hashes([key]) == [{}]
    assert engine.exchange(key, "nonce", ["9", ""], one, other) == {}
    assert engine.exchange(key, "nonce", ["", "9"], two, other) == {"nonce": "1", "last": ""}
    assert engine.exchange(key, "nonce", ["0", "1"], two, other) == {"nonce": "1", "last": "", "rival": "é"}
    assert engine.exchange(key, "nonce", [], two, {}) == {"nonce": "2", "last": "", "rival": "é"}
    engine.assign(key, {"nonce": ""})
    assert engine.exchange(key, "nonce", [""], one, other)["nonce"] == ""
    assert engine.hashes([key]) == [{"nonce": "1", "last": "", "rival": "é"}]


KEY = "bans:position:web1"


def test_an_advance_only_raises_values_and_removes_named_fields(engine: Engine) -> None:
    engine.advance([Advance(KEY, {"a": "10 x", "b": "7"})])
    engine.advance([Advance(KEY, {"a": "9 y", "b": "12", "c": "1"})])
    assert engine.hashes([KEY]) == [{"a": "10 x", "b": "12", "c": "1"}]
    engine.advance([Advance(KEY, {}, ("a", "b", "d"))])
    assert engine.hashes([KEY]) == [{"c": "1"}]
    engine.advance([Advance(KEY, {}, ("c",))])
    assert engine.kind(KEY) == "none"


def test_an_advance_is_written_with_applied_changes_only(engine: Engine) -> None:
    engine.apply([change()], [Advance(KEY, {"a": "1"})])
    assert engine.hashes([KEY]) == [{"a": "1"}]
    engine.apply([change(), change(key=B)], [Advance(KEY, {"a": "2"})])
    assert engine.hashes([KEY]) == [{"a": "1"}]
    engine.apply([], [Advance(KEY, {"a": "3"})])
    assert engine.hashes([KEY]) == [{"a": "1"}]
