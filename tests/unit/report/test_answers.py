"""Answers equal what counting all bans one by one finds, whichever way they were found."""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.ledger.ban import Ban
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tokens import text_of, token
from banledger.report import ranked, summary
from banledger.report.answers import Top
from banledger.report.columns import dimensions
from banledger.report.natural import natural
from banledger.report.query import Query, Span, question
from banledger.report.walk import walk
from tests.support.lines import T0, ban, gap
from tests.unit.report.conftest import Make, write

_DAY = 86_400
_NOW = float(T0 + 20 * _DAY)
_FIRST = date(2026, 11, 20)

_bans = st.builds(
    ban,
    fid=st.sampled_from(
        ["192.0.2.1", "192.0.2.2", "192.0.2.128/25", "2.0.0.1", "10.0.0.1", "2001:db8::1", "3.0.0.1", "some user"]
    ),
    time=st.integers(0, 16).map(lambda n: T0 + n * _DAY // 2),  # crosses a month's edge
    jail=st.sampled_from(["sshd", "a|b %"]),
    server=st.sampled_from(["web1", "web1", "web2"]),
    users=st.lists(st.sampled_from(["root", "a b", "é"]), unique=True, max_size=2).map(tuple),
)
_days = st.integers(0, 14).map(lambda n: (_FIRST + timedelta(days=n)).isoformat())
_spans = st.one_of(
    st.just(Span()),
    st.tuples(_days, _days).map(lambda pair: Span(min(pair), max(pair))),
    _days.map(lambda day: Span(None, day)),
    st.just(Span("2026-11-24", "2026-11-27", since=float(T0 + _DAY), until=float(T0 + 4 * _DAY))),
)


def _some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.one_of(st.just(()), st.just(()), st.lists(st.sampled_from(values), min_size=1, max_size=2).map(tuple))


_queries = st.builds(
    question,
    span=_spans,
    jail=_some("sshd", "a|b %", "none"),
    country=_some("CN", "DE", "XX", "private"),
    ip=_some("192.0.2.1", "2.0.0.1", "192.0.2.0/24", "2001:db8::/32"),
    server=_some("web1", "web2"),
    user=_some("root", "a b"),
    asn=_some("64500", "64501", "9"),
)


def _meant(query: Query, one: Ban) -> bool:
    span, filters = query.span, query.filters
    tests: list[bool] = [
        span.first is None or one.day >= span.first,
        span.last is None or one.day <= span.last,
        span.since is None or one.time >= span.since,
        span.until is None or one.time < span.until,
        "jail" not in filters or one.jail in filters["jail"],
        "server" not in filters or one.server in filters["server"],
        "user" not in filters or bool({*filters["user"]} & {*one.users}),
        "asn" not in filters or str(one.asn) in filters["asn"],
        "country" not in filters or {"private": "private"}.get(one.scope, one.country) in filters["country"],
        "ip" not in filters or (one.ip is not None and any(_inside(one.ip, text) for text in filters["ip"])),
    ]
    return all(tests)


def _inside(address: str, network: str) -> bool:
    inner: Any = ipaddress.ip_network(address)
    outer: Any = ipaddress.ip_network(network)
    return bool(inner.version == outer.version and inner.subnet_of(outer))


def _all(ledger: LedgerReader) -> list[Ban]:
    ids = [key.rpartition(":")[2] for key in ledger.store().keys("bans:*:ban:*")]
    found = [one for one in ledger.bans(ids) if one is not None]
    return sorted(found, key=lambda one: (one.time, one.id), reverse=True)


def _count(bans: list[Ban], dimension: str) -> list[tuple[str, int]]:
    counter = Counter(value for one in bans for value in _values(one, dimension))
    return sorted(counter.items(), key=lambda row: (row[1], row[0]), reverse=True)


def _values(one: Ban, dimension: str) -> tuple[str, ...]:
    """The tokens that a ban has in a dimension, said apart from the ledger's table, which is under test."""
    if dimension == "user":
        return tuple(token(user) for user in one.users)
    if dimension == "id":
        return (token(one.fid),) if one.fid != one.ip else ()
    if dimension == "hour":
        return (f"{one.hour:02d}",)
    value = getattr(one, dimension)
    if value is None:
        return ()
    return (token(str(value)),) if dimension in ("jail", "server", "org", "asn") else (value,)


def _listed(rows: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Equals in natural order."""
    return sorted(rows, key=lambda row: (-row[1], natural(text_of(row[0]))))


def _rows(top: Top) -> list[tuple[str, int]]:
    return [(token(row.name) if top.dimension not in ("ip", "network") else row.name, row.bans) for row in top.rows]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lines=st.lists(_bans, min_size=1, max_size=40), query=_queries, count=st.integers(1, 4))
def test_answers_equal_counting_one_by_one(lines: list[Any], query: Query, count: int) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder) / "l.db", lines)
        ledger = open_to_read(str(Path(folder) / "l.db"), "bans")
        try:
            _compare(ledger, query, count)
        finally:
            ledger.close()


def _compare(ledger: LedgerReader, query: Query, count: int) -> None:
    meant = [one for one in _all(ledger) if _meant(query, one)]

    assert list(walk(ledger, query)) == meant
    assert list(walk(ledger, query, limit=count)) == meant[:count]
    for dimension in dimensions():
        top = summary.top(ledger, dimension, query, count)
        assert top.total == len(meant), dimension
        assert _rows(top) == _listed(_count(meant, dimension)[:count]), dimension

    report = summary.report(ledger, query, _NOW, count)
    assert report.total == len(meant)
    assert report.all_time == len(_all(ledger))
    assert report.no_country == sum(one.country is None for one in meant)
    assert report.hours == tuple(sum(one.hour == hour for one in meant) for hour in range(24))
    assert {day.day: day.bans for day in report.days if day.bans} == Counter(one.day for one in meant)
    assert {day.day: day.offenders for day in report.days if day.offenders} == {
        day: len({one.ip for one in meant if one.day == day and one.ip}) for day in {o.day for o in meant if o.ip}
    }
    for part in (report.tops[name] for name in ("country", "jail", "user", "ip")):
        assert _rows(part) == _listed(_count(meant, part.dimension)[:count])


_addresses = st.integers(1, 40).map(lambda n: f"192.0.2.{n}")
_many = st.lists(
    st.builds(ban, fid=_addresses, time=st.integers(0, 200).map(lambda n: T0 + n * _DAY // 20)),
    min_size=1,
    max_size=150,
    unique_by=lambda line: (line.fid, line.time),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lines=_many, span=_spans, count=st.integers(1, 6), seeded=st.booleans(), chunk=st.integers(1, 9))
def test_the_walk_down_the_ranking_is_exact(lines: list[Any], span: Span, count: int, seeded: bool, chunk: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranked, "_CHUNK", chunk)
        write(Path(folder) / "l.db", lines)
        ledger = open_to_read(str(Path(folder) / "l.db"), "bans")
        try:
            inside = [day for day in ledger.days() if span.holds_day(day)]
            outside = [day for day in ledger.days() if not span.holds_day(day)]
            descent = ranked.Descent(ledger, "ip", inside, outside, count)
            if seeded:
                descent.seed()

            meant = [one for one in _all(ledger) if span.holds_day(one.day)]
            assert descent.run() == _count(meant, "ip")[:count]
        finally:
            ledger.close()


@pytest.mark.parametrize("by_rows", [True, False])
def test_a_big_span_is_answered_from_rows_or_by_the_walk_down_the_ranking(
    make: Make, monkeypatch: pytest.MonkeyPatch, by_rows: bool
) -> None:
    lines = [ban(f"192.0.2.{n % 50}", T0 + n * 3600) for n in range(1, 400)]
    ledger = make(lines)
    monkeypatch.setattr(LedgerReader, "merge_limit", 10)
    monkeypatch.setattr(ranked, "_MERGED_AT_MOST", 0)
    monkeypatch.setattr(ranked, "_ROWS_AT_MOST", 1000 if by_rows else 0)

    top = summary.top(ledger, "ip", Query(Span("2026-11-25", "2026-12-05")), 7)

    meant = [one for one in _all(ledger) if "2026-11-25" <= one.day <= "2026-12-05"]
    assert _rows(top) == _listed(_count(meant, "ip")[:7])
    assert top.distinct == (len({one.ip for one in meant}) if by_rows else None)


def test_days_without_bans_are_listed(make: Make) -> None:
    ledger = make([ban(time=T0), ban(time=T0 + 3 * _DAY)])

    report = summary.report(ledger, Query(), T0 + 4 * _DAY)

    assert [(day.day, day.bans) for day in report.days] == [
        ("2026-11-23", 1),
        ("2026-11-24", 0),
        ("2026-11-25", 0),
        ("2026-11-26", 1),
        ("2026-11-27", 0),
    ]


def test_gaps_of_the_span_are_reported(make: Make) -> None:
    ledger = make([ban(), gap(T0, bans=7), gap(T0 + 5 * _DAY, bans=9)])

    assert [one.bans for one in summary.report(ledger, Query(), _NOW).gaps] == [9, 7]
    assert [one.bans for one in summary.report(ledger, Query(Span("2026-11-23", "2026-11-24")), _NOW).gaps] == [7]
    assert summary.report(ledger, question(jail=("other",)), _NOW).gaps == ()


def test_servers_are_listed_only_where_there_are_several(make: Make) -> None:
    assert "server" not in summary.report(make([ban()]), Query(), _NOW).tops
    two = summary.report(make([ban(), ban(server="web2")]), Query(), _NOW)
    assert {row.name for row in two.tops["server"].rows} == {"web1", "web2"}


def test_an_empty_ledger_has_an_answer(make: Make) -> None:
    report = summary.report(make([]), Query(), _NOW)

    assert (report.total, report.days, report.since) == (0, (), None)


def test_a_walk_takes_the_smallest_set(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make([ban(f"192.0.2.{n}", T0 + n * 60) for n in range(1, 200)] + [ban("2.0.0.1", T0)])
    asked: list[int] = []
    bans = ledger.bans

    def counted(ids: Sequence[str]) -> list[Ban | None]:
        asked.append(len(ids))
        return bans(ids)

    monkeypatch.setattr(ledger, "bans", counted)

    assert len(list(walk(ledger, question(jail=("sshd",), ip=("2.0.0.1",))))) == 1
    assert asked == [1]


@pytest.mark.parametrize("query", [Query(), Query(Span("2026-11-01", "2026-12-01")), question(jail=("sshd",))])
def test_an_answer_reads_the_list_of_days_once(make: Make, monkeypatch: pytest.MonkeyPatch, query: Query) -> None:
    ledger = make([ban(f"192.0.2.{n}", T0 + n * _DAY) for n in range(5)])
    reads: list[int] = []
    days = ledger.days

    def counted() -> dict[str, int]:
        reads.append(1)
        return days()

    monkeypatch.setattr(ledger, "days", counted)

    summary.report(ledger, query, _NOW)
    assert len(reads) == 1
    summary.top(ledger, "ip", query)
    assert len(reads) == 2
