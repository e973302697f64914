"""Compute answers: from tallies and rankings if possible, else from the rows of the selected bans."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from msgspec import Struct
from msgspec.structs import replace

from banledger.errors import QuestionError
from banledger.ledger.dimensions import DAY, HOURS
from banledger.ledger.gap import Gap
from banledger.ledger.progress import Progress, silent
from banledger.ledger.reader import LedgerReader
from banledger.ledger.selected import select
from banledger.ledger.tokens import text_of
from banledger.report import columns, ranked, tallied
from banledger.report.answers import Count, Day, Report, Top
from banledger.report.formats.moment import local
from banledger.report.natural import natural
from banledger.report.nearest import nearest
from banledger.report.query import Query, Span, days_in
from banledger.stores.best import rank_of
from banledger.stores.selection import Rank, RowsDone


class _Facts(Struct, frozen=True):
    """The result of either way. days: bans and offenders of days with bans."""

    total: int
    offenders: int | None
    no_country: int
    days: dict[str, tuple[int, int]]
    hours: Mapping[str, int]
    tops: dict[str, Top]


def report(ledger: LedgerReader, query: Query, now: float, count: int = 10, progress: Progress = silent) -> Report:
    """Summarise the query's span, with the top `count` values of each dimension."""
    everything = ledger.days()
    if query.filters or not query.span.whole:
        facts = _selected(ledger, query, everything, count, progress)
    else:
        facts = _tallied(ledger, query, everything, count)
    return Report(
        query=query,
        timezone=str(ledger.zone),
        total=facts.total,
        all_time=sum(everything.values()),
        since=next(iter(everything), None),
        offenders=facts.offenders,
        banned_now=None if query.filters or query.span.ended(now, ledger.zone) else ledger.banned_now(now),
        no_country=facts.no_country,
        days=_calendar(facts.days, everything, query.span, now, ledger),
        hours=tuple(facts.hours.get(hour, 0) for hour in HOURS),
        tops=_reported(ledger, facts.tops),
        waiting=ledger.waiting(),
        gaps=tuple(gap for gap in ledger.gaps() if _concerns(gap, query, ledger)),
    )


def _reported(ledger: LedgerReader, tops: dict[str, Top]) -> dict[str, Top]:
    """Add owners to networks; keep servers only if there are several."""
    found = tops | {"network": _owned(ledger, tops["network"])}
    if (found["server"].distinct or 0) <= 1:
        del found["server"]
    return found


def _tallied(ledger: LedgerReader, query: Query, everything: dict[str, int], count: int) -> _Facts:
    days = days_in(query.span, everything)
    total = sum(days.values())
    countries = ranked.counts(ledger, "country", list(days), everything)
    tops = {
        name: _top_of(countries, name, query, total, count)
        if name == "country"
        else _top_of_days(ledger, name, query, days, everything, count)
        for name in columns.reported()
    }
    offenders = ledger.distinct_on("ip", list(days))
    return _Facts(
        total=total,
        offenders=tops["ip"].distinct,
        no_country=max(0, total - sum(countries.values())),
        days=dict(zip(days, zip(days.values(), offenders, strict=True), strict=True)),
        hours=ledger.tally("hour", days),
        tops=tops,
    )


def _selected(ledger: LedgerReader, query: Query, everything: dict[str, int], count: int, progress: Progress) -> _Facts:
    names = columns.reported()
    wanted: dict[str, int | None] = dict.fromkeys(names, count)
    rows = select(ledger, query.selection(), everything)
    found = rows.rank(wanted | {DAY: None, "hour": None}, (DAY, "ip"), _rows_done(progress))
    return _Facts(
        total=found.total,
        offenders=found.by["ip"].distinct,
        no_country=found.total - found.by["country"].counted,
        days={day: (bans, found.distinct.get(day, 0)) for day, bans in found.by[DAY].rows},
        hours=dict(found.by["hour"].rows),
        tops={name: _top_of_rank(found.by[name], name, query, found.total) for name in names},
    )


def _rows_done(progress: Progress) -> RowsDone:
    return lambda done, total: progress("bans", done, total)


def _owned(ledger: LedgerReader, answer: Top) -> Top:
    """Add owners to the networks."""
    records = ledger.networks.networks([row.name for row in answer.rows])
    owners = [(record.org or record.name or "") if record else "" for record in records]
    rows = [replace(row, owner=owner) for row, owner in zip(answer.rows, owners, strict=True)]
    return replace(answer, rows=tuple(rows))


def _top_of_days(
    ledger: LedgerReader,
    dimension: str,
    query: Query,
    days: Mapping[str, int],
    everything: Mapping[str, int],
    count: int,
) -> Top:
    rows, distinct = ranked.top(ledger, dimension, list(days), count, everything)
    return Top(dimension, query, sum(days.values()), distinct, _counts(rows))


def _top_of(table: Mapping[str, int], dimension: str, query: Query, total: int, count: int) -> Top:
    return _top_of_rank(rank_of(table, count), dimension, query, total)


def _top_of_rank(rank: Rank, dimension: str, query: Query, total: int) -> Top:
    return Top(dimension, query, total, rank.distinct, _counts(rank.rows))


def _counts(rows: Iterable[tuple[str, int]]) -> tuple[Count, ...]:
    counted = [Count(text_of(tok), bans) for tok, bans in rows]
    return tuple(sorted(counted, key=lambda row: (-row.bans, natural(row.name))))


def _calendar(
    days: dict[str, tuple[int, int]], everything: dict[str, int], span: Span, now: float, ledger: LedgerReader
) -> tuple[Day, ...]:
    """Every day of the span, from the ledger's first day to today or its last day, whichever is later."""
    if not everything:
        return ()
    today = local(now, ledger.zone).date().isoformat()
    first = max(span.first or "", min(everything))
    last = min(span.last or "9999", max(today, max(everything)))
    day, made = date.fromisoformat(first), []
    while (text := day.isoformat()) <= last:
        made.append(Day(text, *days.get(text, (0, 0))))
        day += timedelta(days=1)
    return tuple(made)


def _concerns(gap: Gap, query: Query, ledger: LedgerReader) -> bool:
    span = query.span
    start, end = (local(moment, ledger.zone).date().isoformat() for moment in (gap.since, gap.seen))
    return (
        (span.last is None or start <= span.last)
        and (span.first is None or end >= span.first)
        and (span.since is None or gap.seen >= span.since)
        and (span.until is None or gap.since < span.until)
        and gap.jail in query.filters.get("jail", [gap.jail])
        and gap.server in query.filters.get("server", [gap.server])
    )


def top(ledger: LedgerReader, dimension: str, query: Query, count: int = 20, progress: Progress = silent) -> Top:
    """The `count` values of a dimension with the most bans. Raises QuestionError for an unknown dimension."""
    if dimension not in (known := columns.dimensions()):
        meant = nearest(dimension, known, columns.synonyms())
        raise QuestionError(f"unknown dimension: {dimension}{meant}", hint=f"one of: {', '.join(known)}")
    answer = _top(ledger, dimension, query, count, progress)
    return _owned(ledger, answer) if dimension == "network" else answer


def _top(ledger: LedgerReader, dimension: str, query: Query, count: int, progress: Progress) -> Top:
    everything = ledger.days()
    days = days_in(query.span, everything)
    found: tuple[dict[str, int], int] | None = None
    if query.span.whole and query.filters:
        found = tallied.counts(ledger, dimension, query, list(days))
    elif query.span.whole and dimension == DAY:
        found = days, sum(days.values())
    elif query.span.whole:
        return _top_of_days(ledger, dimension, query, days, everything, count)
    if found is not None:
        return _top_of(found[0], dimension, query, found[1], count)
    ranks = select(ledger, query.selection(), everything).rank({dimension: count}, None, _rows_done(progress))
    return _top_of_rank(ranks.by[dimension], dimension, query, ranks.total)
