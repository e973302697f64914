"""How answers are found: from tallies and rankings where those know, else by a walk."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from banledger.errors import QuestionError
from banledger.ledger.dimensions import DAY, HOURS, TABLE
from banledger.ledger.progress import Progress, silent
from banledger.ledger.reader import Gap, LedgerReader
from banledger.ledger.tokens import text_of
from banledger.report import columns, ranked, tallied
from banledger.report.answers import Count, Day, Report, Top
from banledger.report.natural import natural
from banledger.report.query import Query, Span
from banledger.report.walk import days_in, walk


def report(ledger: LedgerReader, query: Query, now: float, count: int = 10, progress: Progress = silent) -> Report:
    """What happened in the query's span, with the `count` most of everything."""
    everything = ledger.days()
    if query.filters or not query.span.whole:
        facts = _walked(ledger, query, everything, count, progress)
    else:
        facts = _tallied(ledger, query, everything, count)
    return Report(
        query=query,
        timezone=str(ledger.zone),
        total=facts.total,
        all_time=sum(everything.values()),
        since=next(iter(everything), None),
        offenders=facts.offenders,
        banned_now=None if query.filters else ledger.banned_now(now),
        no_country=facts.no_country,
        days=_calendar(facts.days, everything, query.span, now, ledger),
        hours=facts.hours,
        tops=_reported(ledger, facts.tops),
        waiting=ledger.waiting(),
        gaps=tuple(gap for gap in ledger.gaps() if _concerns(gap, query, ledger)),
    )


class _Facts(Struct, frozen=True):
    """What both ways find out. days: bans and offenders of days that have any."""

    total: int
    offenders: int | None
    no_country: int
    days: dict[str, tuple[int, int]]
    hours: tuple[int, ...]
    tops: dict[str, Top]


def _reported(ledger: LedgerReader, tops: Mapping[str, Top]) -> dict[str, Top]:
    """In the order of the report; networks with their owners, servers only if there are several."""
    found = {name: tops[name] for name in columns.reported()}
    found["network"] = _owned(ledger, found["network"])
    if (found["server"].distinct or 0) <= 1:
        del found["server"]
    return found


def _tallied(ledger: LedgerReader, query: Query, everything: dict[str, int], count: int) -> _Facts:
    days = days_in(query.span, everything)
    total = sum(days.values())
    countries = ranked.counts(ledger, "country", list(days), everything)
    tops = {
        name: _top_of_days(ledger, name, query, everything, count) for name in columns.reported() if name != "country"
    }
    tops["country"] = _top_of(countries, "country", query, total, count)
    by_hour = ledger.tally("hour", days)
    offenders = tallied.offenders(ledger, list(days))
    return _Facts(
        total=total,
        offenders=tops["ip"].distinct,
        no_country=max(0, total - sum(countries.values())),
        days={day: (bans, offenders[day]) for day, bans in days.items()},
        hours=tuple(by_hour.get(hour, 0) for hour in HOURS),
        tops=tops,
    )


def _top_of_days(ledger: LedgerReader, dimension: str, query: Query, everything: dict[str, int], count: int) -> Top:
    days = days_in(query.span, everything)
    rows, distinct = ranked.top(ledger, dimension, list(days), count, everything)
    return Top(dimension, query, sum(days.values()), distinct, _counts(rows))


def _owned(ledger: LedgerReader, answer: Top) -> Top:
    """The networks with their owners."""
    records = ledger.networks.networks([row.name for row in answer.rows])
    owners = [(record.org or record.name or "") if record else "" for record in records]
    return replace(answer, rows=tuple(map(_own, answer.rows, owners)))


def _own(row: Count, owner: str) -> Count:
    return replace(row, owner=owner)


def _top_of(table: Mapping[str, int], dimension: str, query: Query, total: int, count: int) -> Top:
    return Top(dimension, query, total, len(table), _counts(ranked.best(table, count)))


def _counts(rows: list[tuple[str, int]]) -> tuple[Count, ...]:
    counted = [Count(text_of(tok), bans) for tok, bans in rows]
    return tuple(sorted(counted, key=lambda row: (-row.bans, natural(row.name))))


def _walked(ledger: LedgerReader, query: Query, everything: dict[str, int], count: int, progress: Progress) -> _Facts:
    total = no_country = 0
    hours = [0] * 24
    days: Counter[str] = Counter()
    offenders: defaultdict[str, set[str]] = defaultdict(set)
    counters: dict[str, Counter[str]] = {name: Counter() for name in columns.reported()}
    for ban in walk(ledger, query, progress=progress, everything=everything):
        total += 1
        no_country += ban.country is None
        hours[ban.hour] += 1
        days[ban.day] += 1
        if ban.ip is not None:
            offenders[ban.day].add(ban.ip)
        for name, counter in counters.items():
            counter.update(TABLE[name].tokens(ban))
    tops = {name: _top_of(counter, name, query, total, count) for name, counter in counters.items()}
    return _Facts(
        total=total,
        offenders=len(counters["ip"]),
        no_country=no_country,
        days={day: (bans, len(offenders[day])) for day, bans in days.items()},
        hours=tuple(hours),
        tops=tops,
    )


def _calendar(
    days: dict[str, tuple[int, int]], everything: dict[str, int], span: Span, now: float, ledger: LedgerReader
) -> tuple[Day, ...]:
    """Every day of the span, from the ledger's first to today or its last, whichever is later."""
    if not everything:
        return ()
    today = datetime.fromtimestamp(now, UTC).astimezone(ledger.zone).date().isoformat()
    first = max(span.first or "", min(everything))
    last = min(span.last or "9999", max(today, max(everything)))
    day, made = date.fromisoformat(first), []
    while (text := day.isoformat()) <= last:
        made.append(Day(text, *days.get(text, (0, 0))))
        day += timedelta(days=1)
    return tuple(made)


def _concerns(gap: Gap, query: Query, ledger: LedgerReader) -> bool:
    start, end = (
        datetime.fromtimestamp(moment, UTC).astimezone(ledger.zone).date().isoformat()
        for moment in (gap.since, gap.seen)
    )
    span = query.span
    return (
        (span.last is None or start <= span.last)
        and (span.first is None or end >= span.first)
        and (span.since is None or gap.seen >= span.since)
        and (span.until is None or gap.since < span.until)
        and gap.jail in query.filters.get("jail", [gap.jail])
        and gap.server in query.filters.get("server", [gap.server])
    )


def top(ledger: LedgerReader, dimension: str, query: Query, count: int = 20, progress: Progress = silent) -> Top:
    """The `count` values of a dimension with most bans. Raises QuestionError for an unknown dimension."""
    if dimension not in (known := columns.dimensions()):
        raise QuestionError(f"unknown dimension: {dimension}", hint=f"one of: {', '.join(known)}")
    answer = _top(ledger, dimension, query, count, progress)
    return _owned(ledger, answer) if dimension == "network" else answer


def _top(ledger: LedgerReader, dimension: str, query: Query, count: int, progress: Progress) -> Top:
    if not query.span.whole:
        return _top_by_walk(ledger, dimension, query, count, progress)
    everything = ledger.days()
    days = days_in(query.span, everything)
    if not query.filters:
        if dimension == DAY:
            return _top_of(days, DAY, query, sum(days.values()), count)
        return _top_of_days(ledger, dimension, query, everything, count)
    found = tallied.counts(ledger, dimension, query, list(days))
    if found is None:
        return _top_by_walk(ledger, dimension, query, count, progress, everything)
    by_value, total = found
    return _top_of(by_value, dimension, query, total, count)


def _top_by_walk(
    ledger: LedgerReader,
    dimension: str,
    query: Query,
    count: int,
    progress: Progress,
    everything: dict[str, int] | None = None,
) -> Top:
    tokens = TABLE[dimension].tokens
    counter: Counter[str] = Counter()
    total = 0
    for ban in walk(ledger, query, progress=progress, everything=everything):
        total += 1
        counter.update(tokens(ban))
    return _top_of(counter, dimension, query, total, count)
