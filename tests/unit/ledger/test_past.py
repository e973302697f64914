"""Which bans follow from facts and exact bans."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.log_fact import MOST_FACTS, LogFact, joined, read_facts
from banledger.ledger.past import decide, events, spans, within
from banledger.stores.fields import Damaged

facts = st.builds(
    LogFact,
    st.integers(1000, 1200).map(lambda tenths: tenths / 8),
    st.sampled_from([0, 0, 125, 130, 140]),
    st.sampled_from([0.0, 140.5, 300.5]),
    st.sampled_from([0, -1, 600]),
    st.integers(0, 2),
    st.integers(0, 3),
)


def fact(logged: float, found: int = 0) -> LogFact:
    return LogFact(logged, found)


@pytest.mark.parametrize(
    ("told", "exact", "seconds"),
    [
        ([fact(100.5)], [], {100: 1}),
        ([fact(100.5, 99)], [], {99: 1}),
        ([fact(100.5, 99)], [99], {99: 1}),
        ([fact(100.5, 99)], [100], {100: 1}),  # the database rounds
        ([fact(100.5, 99)], [98], {98: 1}),
        ([fact(100.5, 99)], [98, 99, 100], {98: 0, 99: 1, 100: 0}),
        ([fact(100.5, 40)], [60], {60: 1}),  # another failure than the ticket's
        ([fact(100.5)], [30], {30: 0, 100: 1}),
        ([fact(100.5)], [102], {100: 1, 102: 0}),
        ([fact(100.5)], [101], {101: 1}),
        ([fact(100.5)], [60, 90], {60: 0, 90: 1}),
        ([fact(100.5), fact(102.0)], [], {100: 2}),  # another log
        ([fact(100.5), fact(103.0)], [], {100: 1, 103: 1}),
        ([fact(100.5, 99), fact(131.0)], [99], {99: 1, 131: 1}),
        ([fact(131.0)], [99], {99: 1}),
        ([fact(100.5, 99), fact(103.0, 100)], [100], {99: 1, 100: 1}),  # the first one's row was deleted
        ([fact(100.5, 99), fact(103.0, 100)], [101], {99: 1, 101: 1}),
        ([fact(100.5, 99), fact(103.0, 100)], [100, 101], {100: 1, 101: 1}),
        ([fact(100.5, 99), fact(131.0, 99)], [99], {99: 2}),  # one identity
    ],
)
def test_each_event_is_one_ban(told: list[LogFact], exact: list[int], seconds: dict[int, int]) -> None:
    assert {second: len(given) for second, given in decide(told, exact).items()} == seconds


@given(st.lists(facts, max_size=8), st.sets(st.integers(120, 145), max_size=4), st.data())
def test_a_decision_follows_from_the_sets_alone(told: list[LogFact], exact: set[int], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations([*told, *told]))
    assert decide(shuffled, sorted(exact, reverse=True)) == decide(told, [*exact])


@given(st.lists(facts, max_size=8), st.sets(st.integers(120, 145), max_size=4))
def test_every_fact_is_in_exactly_one_ban_and_no_exact_ban_is_lost(told: list[LogFact], exact: set[int]) -> None:
    decided = decide(told, [*exact])
    assert decided.keys() >= exact
    given = [one.logged for some in decided.values() for one in some]
    assert sorted(given) == sorted({one.logged for one in told})
    assert all(some for second, some in decided.items() if second not in exact)


@given(st.lists(facts, max_size=8), st.sets(st.integers(120, 145), max_size=4))
def test_deciding_again_changes_nothing(told: list[LogFact], exact: set[int]) -> None:
    decided = decide(told, [*exact])
    assert decide([one for some in decided.values() for one in some], [*exact]) == decided


def test_an_unban_between_two_facts_makes_them_two_bans() -> None:
    assert [len(event) for event in events([LogFact(1.0, unbanned=1.5), fact(2.0), fact(1.25)])] == [2, 1]


def test_events_are_at_most_two_seconds_long() -> None:
    assert [len(event) for event in events([fact(1.0), fact(3.0), fact(4.0), fact(1.5)])] == [3, 1]


@given(facts, facts, facts)
def test_facts_of_one_line_have_a_join(one: LogFact, two: LogFact, three: LogFact) -> None:
    a, b, c = (LogFact(1.0, *_rest(fact)) for fact in (one, two, three))
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a


def _rest(one: LogFact) -> tuple[int, float, int, int, int]:
    return one.found, one.unbanned, one.bantime, one.bancount, one.failures


def test_a_record_keeps_a_bounded_number_of_facts() -> None:
    many = [fact(n / 64) for n in range(64, 200)]
    assert joined(reversed(many)) == tuple(many[:MOST_FACTS])


_NOT_WRITTEN = [
    "x",
    "{}",
    "[1]",
    "[[1]]",
    "[[0.0,0,0.0,0,0,0]]",
    "[[1.0,-1,0.0,0,0,0]]",
    "[[1.5,0,0.0,0,0,0], [1.0]]",
    "[[2.0,0,0.0,0,0,0],[1.0,0,0.0,0,0,0]]",
    "[[1.00,0,0.0,0,0,0]]",
    json.dumps([[1.0] * 9000]),
]


@pytest.mark.parametrize("text", _NOT_WRITTEN, ids=range(len(_NOT_WRITTEN)))
def test_facts_that_no_import_writes_are_damage(text: str) -> None:
    with pytest.raises(Damaged):
        read_facts({"logged": text}, "logged")


def test_times_that_matter_are_ten_minutes_around() -> None:
    times = spans([10_000.0, 11_000.0, 30_000.0])
    assert times == [(9400.0, 11_600.0), (29_400.0, 30_600.0)]
    assert [within(second, times) for second in (9399, 9400, 11_600, 20_000, 30_000)] == [
        False,
        True,
        True,
        False,
        True,
    ]
