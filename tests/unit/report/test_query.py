from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from banledger.errors import QuestionError
from banledger.report.query import ALL_TIME, Query, Span, question, span
from banledger.stores.selection import Between, Is, Selection, Within

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 0, 30, tzinfo=BERLIN).timestamp()  # still the 22nd in UTC


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("since", "until", "meant"),
    [
        (None, None, ALL_TIME),
        ("all", None, ALL_TIME),
        ("7d", None, Span("2026-11-17", "2026-11-23")),
        ("1d", None, Span("2026-11-23", "2026-11-23")),
        ("2w", None, Span("2026-11-10", "2026-11-23")),
        ("1m", None, Span("2026-10-24", "2026-11-23")),
        ("1y", None, Span("2025-11-24", "2026-11-23")),
        ("14d", "7d", Span("2026-11-10", "2026-11-16")),
        ("today", None, Span("2026-11-23", "2026-11-23")),
        ("yesterday", "yesterday", Span("2026-11-22", "2026-11-22")),
        ("2026-11-01", "2026-11-02", Span("2026-11-01", "2026-11-02")),
        ("2026-02", "2026-02", Span("2026-02-01", "2026-02-28")),
        ("2026", None, Span("2026-01-01", "2026-11-23")),
        ("2025", "2025", Span("2025-01-01", "2025-12-31")),
        ("2024-12", "2025", Span("2024-12-01", "2025-12-31")),
        (None, "2026", Span(None, "2026-12-31")),
        (None, "2026-11-02", Span(None, "2026-11-02")),
        ("24h", None, Span("2026-11-22", "2026-11-23", since=NOW - 86_400)),
        (
            "2026-11-01 14:00",
            "2026-11-02 00:00",
            Span("2026-11-01", "2026-11-01", at("2026-11-01 14:00"), at("2026-11-02 00:00")),
        ),
    ],
)
def test_dates_are_days_of_the_ledgers_zone(since: str | None, until: str | None, meant: Span) -> None:
    assert span(since, until, NOW, BERLIN) == meant


def test_a_span_is_over_when_its_last_day_or_second_is() -> None:
    assert Span("2026-11-01", "2026-11-22").ended(NOW, BERLIN)
    assert not Span("2026-11-01", "2026-11-23").ended(NOW, BERLIN)
    assert Span("2026-11-22", "2026-11-23", until=NOW).ended(NOW, BERLIN)
    assert not Span("2026-11-22", "2026-11-23", until=NOW + 1).ended(NOW, BERLIN)
    assert not ALL_TIME.ended(NOW, BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "7",
        "7x",
        "2026-13-01",
        "2026-00",
        "2026-11-00",
        "2026-02-30",
        "2026-11-01 25:00",
        "99999y",
        "0001-01-01",
        "-3d",
        "0000",
        "0001",
        "20261",
        "now",
    ],
)
def test_an_invalid_date_is_refused_with_the_valid_forms(text: str) -> None:
    with pytest.raises(QuestionError) as caught:
        span(text or " ", None, NOW, BERLIN)

    assert "2026-11-01" in caught.value.hint


@pytest.mark.parametrize(
    ("since", "until"),
    [("today", "yesterday"), ("2027-01-01", None), ("2027", None), ("2026", "2025"), ("1h", "2h"), ("0d", None)],
)
def test_a_span_that_runs_backwards_is_refused(since: str, until: str | None) -> None:
    with pytest.raises(QuestionError, match="empty span") as caught:
        span(since, until, NOW, BERLIN)
    assert caught.value.hint == ("--since must be before --until" if until else "--since is in the future")


@pytest.mark.parametrize(
    ("name", "typed", "spelled", "wrong"),
    [
        ("country", ("cn", "XX", "Private"), ("CN", "XX", "private"), "China"),
        ("ip", ("::ffff:192.0.2.1", "192.0.2.9/24"), ("192.0.2.1", "192.0.2.0/24"), "192.0.2"),
        ("asn", ("64496", "as64497"), ("64496", "64497"), "A64496"),
    ],
)
def test_a_typed_value_has_one_spelling(
    name: str, typed: tuple[str, ...], spelled: tuple[str, ...], wrong: str
) -> None:
    assert question(ALL_TIME, **{name: typed}).filters == {name: spelled}
    with pytest.raises(QuestionError):
        question(ALL_TIME, **{name: (wrong,)})


def test_a_number_of_thousands_of_digits_is_no_autonomous_system() -> None:
    with pytest.raises(QuestionError):
        question(asn=("9" * 5000,))


def test_only_filters_that_are_set_are_in_a_query() -> None:
    assert question(jail=(), user=("root",)) == Query(filters={"user": ("root",)})


def test_a_query_selects_by_one_group_of_conditions_a_filter() -> None:
    query = question(
        Span("2026-11-22", "2026-11-23"),
        country=("cn", "private"),
        ip=("192.0.2.1", "192.0.2.9/24"),
        user=("a b", "root"),
    )

    assert query.selection() == Selection(
        (
            (Is("country", frozenset({"CN"})), Is("scope", frozenset({"private"}))),
            (Is("ip", frozenset({"192.0.2.1"})), Within("ip", "192.0.2.0/24")),
            (Is("user", frozenset({"a%20b", "root"})),),
            (Between("day", "2026-11-22", "2026-11-23"),),
        ),
        since=at_utc("2026-11-21"),
        until=at_utc("2026-11-25"),
    )


def test_exact_times_of_a_query_are_exact_in_its_selection() -> None:
    assert Query(Span("2026-11-22", None, since=NOW)).selection() == Selection(
        ((Between("day", "2026-11-22", None),),), since=NOW
    )
    assert Query().selection() == Selection()


def test_an_empty_value_selects_nothing() -> None:
    assert question(jail=("",)).selection() == Selection(((Is("jail", frozenset()),),))


def at_utc(day: str) -> float:
    return datetime.fromisoformat(f"{day}T00:00Z").timestamp()
