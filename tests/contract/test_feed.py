"""The change feed, over every engine: every change of a ban is told at least once, and what was missed is noticed."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.ledger.ban import PENDING, Ban
from banledger.ledger.check import check
from banledger.ledger.copy import CopyEnd, Target, copy
from banledger.ledger.feed import Changes, changes, newest
from banledger.ledger.rebuild import rebuild
from banledger.ledger.writer import Ledger
from banledger.spool.events import Event
from banledger.stores.api import Engine, Repair
from banledger.stores.change import FEED_KEPT, Change, Entries, Score
from tests.contract.conftest import KEYS
from tests.contract.test_ledger import fresh
from tests.support.lines import T0, ban, events, gap, nowhere, prolong, unban
from tests.support.reference import ReferenceEngine, Store

FEED = "bans:feed"


def fed(names: str | list[str], feed: str = FEED) -> list[Change]:
    """New hashes that a feed tells of."""
    return [Change(f"bans:{{2611}}:ban:{name}", {}, {"x": "1"}, after=Entries(name, feed=feed)) for name in names]


def put(engine: Engine, names: str | list[str]) -> None:
    engine.put({change.key: {"x": "0"} for change in fed(names)})


def told(engine: Engine, seen: float = 0.0) -> list[tuple[str, float]]:
    return engine.lowest(FEED, inf, 100_000, above=seen)


def test_a_change_moves_its_member_to_the_end(engine: Engine) -> None:
    put(engine, "abc")
    engine.apply(fed("abc"))
    assert told(engine) == [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    engine.apply(fed("a"))
    assert told(engine) == [("b", 2.0), ("c", 3.0), ("a", 4.0)]
    assert told(engine, 3.0) == engine.ranking(FEED, 0, 1) == [("a", 4.0)]
    assert (engine.kinds([FEED]), engine.sizes([FEED]), list(engine.keys("*feed"))) == (["zset"], [3], [FEED])
    assert engine.scores([FEED], ["a", "no"]) == [[4.0, None]]


def test_a_removed_hash_is_in_the_feed_too_and_a_change_that_conflicts_is_not(engine: Engine) -> None:
    put(engine, "ab")
    (gone,) = [Change(one.key, {"x": "0"}, None, before=one.after, after=Entries("a")) for one in fed("a")]
    (late,) = [Change(one.key, {"x": "9"}, {"x": "1"}, after=one.after) for one in fed("b")]
    engine.apply([gone, late])
    assert told(engine) == [("a", 1.0)]


def test_a_feed_has_the_members_of_its_last_moves(engine: Engine) -> None:
    names = [f"{n:05d}" for n in range(FEED_KEPT + 5)]
    for start in range(0, len(names), 2000):
        page = names[start : start + 2000]
        put(engine, page)
        engine.apply(fed(page))
    assert told(engine) == [(name, float(n)) for n, name in enumerate(names, 1)][5:]
    engine.apply(fed(names[7:9]))
    assert [name for name, _ in told(engine)] == [*names[9:], *names[7:9]]


def test_feeds_of_two_ledgers_in_one_store_are_apart(engine: Engine) -> None:
    put(engine, "ab")
    engine.apply([*fed("a"), *fed("b", "other:feed")])
    assert told(engine) == [("a", 1.0)]
    assert engine.ranking("other:feed", 0, 9) == [("b", 1.0)]


@pytest.mark.parametrize("score", [inf, 2.0**60])
def test_a_feed_with_invalid_numbers_begins_again(engine: Engine, score: float) -> None:
    put(engine, "a")
    engine.mend(Repair(scores=[Score(FEED, "x", score)]))
    engine.apply(fed("a"))
    assert told(engine) == [("a", 1.0)]


# Over a ledger


def test_every_change_of_a_ban_is_in_the_feed_and_nothing_else(ledger: Ledger) -> None:
    store = ledger.store()
    ledger.record([unban("192.0.2.9"), gap()], nowhere)
    assert newest(store, KEYS) == 0
    lines: list[Event] = [ban(), prolong(seen=T0 + 2), unban(seen=T0 + 3), ban("192.0.2.9")]
    for number, line in enumerate(lines, 1):
        ledger.record([line], nowhere)
        ledger.record([line], nowhere)  # known
        assert newest(store, KEYS) == number
    ledger.tidy(T0 + 1e9)
    (first,), (second,) = ledger.ids("ip", "192.0.2.1"), ledger.ids("ip", "192.0.2.9")
    assert changes(store, KEYS, 0) == Changes((first, second), 4)
    assert changes(store, KEYS, 3) == Changes((second,), 4)
    assert changes(store, KEYS, 4) == Changes((), 4)


def test_a_ban_that_comes_late_is_at_the_end(ledger: Ledger) -> None:
    ledger.record([ban(time=T0 + 9)], nowhere)
    ledger.record([ban(time=T0)], nowhere)
    (late,) = changes(ledger.store(), KEYS, 1).ids
    assert late == min(ledger.ids("ip", "192.0.2.1"))


def test_a_follower_notices_what_it_missed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ledger.store()
    ledger.record([ban(f"192.0.2.{n}") for n in range(9)], nowhere)
    assert changes(store, KEYS, 10) == Changes((), 9, missed=True)  # the ledger went back
    monkeypatch.setattr("banledger.ledger.feed.FEED_KEPT", 5)
    assert not changes(store, KEYS, 4).missed
    assert changes(store, KEYS, 3) == Changes((), 9, missed=True)


def test_changes_come_in_pages(ledger: Ledger) -> None:
    ledger.record([ban(f"192.0.2.{n}") for n in range(9)], nowhere)
    seen, found = 0, []
    while (page := changes(ledger.store(), KEYS, seen, most=4)).ids:
        found.append(len(page.ids))
        seen = page.seen
    assert (found, seen) == ([4, 4, 1], 9)


@given(st.lists(st.lists(events, max_size=6), max_size=4))
@settings(max_examples=40)
def test_a_follower_knows_every_ban_of_any_history_as_it_is(batches: list[list[Event]]) -> None:
    _, ledger = fresh()
    store, seen = ledger.store(), 0
    known: dict[str, Ban | None] = {}
    for batch in batches:
        ledger.record(batch, nowhere)
        page = changes(store, KEYS, seen, most=10_000)
        assert not page.missed
        seen = page.seen
        known |= dict(zip(page.ids, ledger.bans(page.ids), strict=True))
    ids = [key.rpartition(":")[2] for key in store.keys("*:ban:*")]
    there = {one.id: one for one in ledger.bans(ids) if one is not None and one.origin != PENDING}
    assert known == there


def test_a_copy_begins_with_an_empty_feed(ledger: Ledger) -> None:
    ledger.record([ban()], nowhere)
    target = ReferenceEngine(Store(), KEYS.entries_of)
    copy(CopyEnd(ledger.store(), KEYS), Target(target, KEYS))
    assert newest(target, KEYS) == 0


def test_a_damaged_feed_is_found_and_a_rebuild_removes_it(engine: Engine, ledger: Ledger) -> None:
    ledger.record([ban()], nowhere)
    assert list(check(engine, KEYS)) == []
    engine.mend(Repair(scores=[Score(FEED, "x", 2.0)]))
    assert [fault.what for fault in check(engine, KEYS)] == ["has entries that are no change of a ban: 1"]
    rebuild(engine, KEYS, 0.0)
    assert list(check(engine, KEYS)) == []
    assert newest(engine, KEYS) == 0
