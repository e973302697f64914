"""Which bans follow from facts and exact bans."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.ledger.log_fact import MOST_FACTS, LogFact, joined, read_facts, text_of_facts
from banledger.ledger.past import decide, events, exact_span, fact_spans, spans, within
from banledger.spool.events import TICKETS_END
from banledger.stores.fields import Damaged

facts = st.builds(
    LogFact,
    st.integers(1000, 1200).map(lambda tenths: tenths / 8),
    st.sampled_from([0, 0, 125, 130, 140]),
    st.sampled_from([0.0, 140.5, 300.5]),
    st.sampled_from([0, -1, 600]),
    st.integers(0, 2),
    st.integers(0, 3),
).map(lambda fact: replace(fact, first=fact.found - 20) if fact.failures > 2 and fact.found else fact)


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
        ([LogFact(9000.5, 900, first=100)], [99], {99: 0, 900: 1}),
        ([LogFact(9000.5, 900, first=100)], [100, 300], {100: 0, 300: 1}),  # a backlog
        ([LogFact(9000.5, 900, first=100)], [300, 901], {300: 0, 901: 1}),
        ([LogFact(9000.5, 900, first=100), fact(9700.5, 9699)], [300, 8990], {300: 1, 8990: 0, 9699: 1}),
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


def _rest(one: LogFact) -> tuple[int, float, int, int, int, int]:
    return one.found, one.unbanned, one.bantime, one.bancount, one.failures, one.first


@given(st.lists(facts, max_size=3))
def test_facts_are_read_as_they_are_written(told: list[LogFact]) -> None:
    some = joined(told)
    text = text_of_facts(some)
    assert not some or read_facts({"logged": text}, "logged") == some
    assert text.count(",") == max(0, sum(7 if one.first else 6 for one in some) - 1)


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
    "[[9.0,5,0.0,0,0,0,0]]",
    "[[9.0,5,0.0,0,0,0,5]]",
    "[[9.0,0,0.0,0,0,0,5]]",
    json.dumps([[1.0] * 9000]),
]


@pytest.mark.parametrize("text", _NOT_WRITTEN, ids=range(len(_NOT_WRITTEN)))
def test_facts_that_no_import_writes_are_damage(text: str) -> None:
    with pytest.raises(Damaged):
        read_facts({"logged": text}, "logged")


def test_spans_that_overlap_are_one() -> None:
    joined_spans = spans([(40.0, 60.0), (10.0, 20.0), (15.0, 17.0), (20.0, 30.0)])
    assert joined_spans == [(10.0, 30.0), (40.0, 60.0)]
    assert [within(second, joined_spans) for second in (9, 10, 30, 31, 50, 60, 61)] == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("one", "failures"),
    [
        (fact(90_000.5), (89_400, 90_600)),
        (fact(90_000.5, 80_000), (79_400, 80_600)),
        (LogFact(90_000.5, 80_000, first=50_000), (49_400, 80_600)),
    ],
)
def test_a_fact_looks_around_its_line_and_its_failures(one: LogFact, failures: tuple[int, int]) -> None:
    assert list(fact_spans(one)) == [(89_400.5, 90_600.5), failures]


@pytest.mark.parametrize(
    ("seen", "bantime", "last"),
    [
        (1001.0, 600, 1601.0),
        (50_000.5, 600, 50_600.5),
        (0.0, 600, 2200),
        (0.0, -1, TICKETS_END + 600),
        (0.0, 0, 88_000),
    ],
)
def test_an_exact_ban_looks_from_its_second_to_its_line(seen: float, bantime: int, last: float) -> None:
    assert exact_span(1000, seen, bantime) == (400, last)
