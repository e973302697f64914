"""Queries as values: they select bans.

Days and times in options are in the ledger's time zone. A day counts as a whole; `24h` and times of day are exact.
Pure: `now` is an argument.
"""

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from banledger.errors import QuestionError
from banledger.ledger.dimensions import DAY, FILTERS, TABLE
from banledger.report.formats.moment import local
from banledger.stores.selection import Between, Condition, Selection

FORMS = (
    "7d, 2w, 3m or 1y (days, weeks, months, years), 24h, 2026-11-01, 2026-11, 2026, '2026-11-01 14:00', "
    "today, yesterday, all"
)
"""The accepted forms of a date."""

_AGO = re.compile(r"(\d{1,5})\s*([hdwmy])")
_CALENDAR = re.compile(r"\d{4}(-\d\d){0,2}")
_EARLIEST = date(1970, 1, 2)
_LATEST = date(9998, 12, 31)
_DAY_S = 86_400
_EPOCH = date(1970, 1, 1).toordinal()


class Span(Struct, frozen=True):
    """A span of time. `first` and `last`: local days, both included (YYYY-MM-DD); None: open.

    `since` (included) and `until` (excluded): UTC epoch seconds if an end is not a whole day; else None.
    """

    first: str | None = None
    last: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def whole(self) -> bool:
        """Whether it consists of whole days."""
        return self.since is None and self.until is None

    @property
    def all_time(self) -> bool:
        """Whether both sides are open."""
        return self.first is None and self.last is None

    def ended(self, now: float, zone: ZoneInfo) -> bool:
        """Whether it is over at `now` (UTC epoch seconds)."""
        if self.until is not None:
            return self.until <= now
        return self.last is not None and self.last < local(now, zone).date().isoformat()

    def holds_day(self, day: str) -> bool:
        """Whether part of that local day lies in it."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def seconds(self) -> tuple[float | None, float | None]:
        """UTC epoch seconds that no ban in it is before (included) or after (excluded); None: open.

        The ends of whole days are a day further out: a local day overlaps its UTC neighbours.
        """
        since, until = self.since, self.until
        if since is None and self.first is not None:
            since = _midnight(self.first) - _DAY_S
        if until is None and self.last is not None:
            until = _midnight(self.last) + 2 * _DAY_S
        return since, until


def _midnight(day: str) -> float:
    """The UTC epoch second at which a day begins in UTC."""
    return float((date.fromisoformat(day).toordinal() - _EPOCH) * _DAY_S)


ALL_TIME = Span()


class Query(Struct, frozen=True):
    """Selects the bans in `span` that have, for each filter, any of its values.

    filters: the filters that are set: canonical values by dimension; see `FILTERS`.
    """

    span: Span = ALL_TIME
    filters: Mapping[str, tuple[str, ...]] = {}

    def conditions(self) -> dict[str, tuple[Condition, ...]]:
        """For each filter, the conditions of which a ban passes at least one."""
        return {name: TABLE[name].conditions(values) for name, values in self.filters.items()}

    def selection(self) -> Selection:
        """The rows of its bans."""
        span = self.span
        days = () if span.all_time else ((Between(DAY, span.first, span.last),),)
        return Selection((*self.conditions().values(), *days), *span.seconds())


def days_in(span: Span, everything: Mapping[str, int]) -> dict[str, int]:
    """The days of `everything` in the span. A day with an exact end counts as whole."""
    return {day: bans for day, bans in everything.items() if span.holds_day(day)}


def question(span: Span = ALL_TIME, **typed: Iterable[str]) -> Query:
    """The query of a span and of typed filter values by dimension. Raises QuestionError."""
    spelled = {name: tuple([_spelled(name, value) for value in values]) for name, values in typed.items()}
    return Query(span, {name: spelled[name] for name in FILTERS if spelled.get(name)})


def _spelled(name: str, value: str) -> str:
    """Return a filter's value in its canonical form. Raises QuestionError."""
    try:
        return FILTERS[name].spelled(value)
    except QuestionError as error:
        raise QuestionError(str(error), hint=error.hint + repeated(value, name)) from None


def repeated(value: str, flag: str) -> str:
    """Return how to give several values, if this one looks like a list of them."""
    return f"; for several values repeat --{flag}" if "," in value else ""


class _Point(Struct, frozen=True):
    """The meaning of a date: first and last local day, or an exact time. Neither: no limit."""

    first: date | None = None
    last: date | None = None
    moment: float | None = None


def span(since: str | None, until: str | None, now: float, zone: ZoneInfo) -> Span:
    """The span of `--since` and `--until` (None: not given). Raises QuestionError.

    Without an end it reaches through today; `--until 7d` is the day before the last 7 days begin.
    """
    if since is None and until is None:
        return ALL_TIME
    start = _start(since or "all", now, zone)
    end = _parse("--until", until, now, zone) if until else _Point()
    if until is None and start != _Point():
        end = _Point(last=local(now, zone).date())
    first = start.first if start.moment is None else local(start.moment, zone).date()
    last = end.last if end.moment is None else local(end.moment - 1, zone).date()
    made = Span(first.isoformat() if first else None, last.isoformat() if last else None, start.moment, end.moment)
    if _backwards(made):
        hint = "--since must be before --until" if until else "--since is in the future"
        raise QuestionError(f"empty span: from {since} to {until or 'today'}", hint=hint)
    return made


def _backwards(made: Span) -> bool:
    if made.since is not None and made.until is not None and made.since >= made.until:
        return True
    return made.first is not None and made.last is not None and made.first > made.last


def _start(text: str, now: float, zone: ZoneInfo) -> _Point:
    """`7d` as a start: today and the six days before."""
    point = _parse("--since", text, now, zone)
    if point.first is not None and _AGO.fullmatch(text.strip().lower()):
        return _Point(first=point.first + timedelta(days=1))
    return point


def _parse(option: str, text: str, now: float, zone: ZoneInfo) -> _Point:
    """The meaning of one date. `7d` is the day seven days ago: the last one before the last seven."""
    word = text.strip().lower()
    today = local(now, zone).date()
    if word == "all" or (word == "now" and option == "--until"):
        return _Point()
    if word in ("today", "yesterday"):
        day = today - timedelta(days=word == "yesterday")
        return _Point(day, day)
    try:
        point = _ago(word, now, today) or _calendar(word) or _time(text.strip(), zone)
    except (ValueError, OverflowError):
        point = None
    if point is None or not _in_range(point):
        raise QuestionError(f"invalid {option} {text!r}", hint=f"one of: {FORMS}")
    return point


def _in_range(point: _Point) -> bool:
    if point.moment is not None:
        return 86_400 <= point.moment < 253_300_000_000
    return point.first is not None and _EARLIEST <= point.first <= _LATEST


def _ago(word: str, now: float, today: date) -> _Point | None:
    match = _AGO.fullmatch(word)
    if not match:
        return None
    number, unit = int(match[1]), match[2]
    if unit == "h":
        return _Point(moment=float(int(now) - number * 3600))
    if unit in "dw":
        day = today - timedelta(days=number * (7 if unit == "w" else 1))
    else:
        day = _months_before(today, number * (12 if unit == "y" else 1))
    return _Point(day, day)


def _months_before(day: date, number: int) -> date:
    months = day.year * 12 + day.month - 1 - number
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _calendar(word: str) -> _Point | None:
    """A year, a month or a day."""
    if not _CALENDAR.fullmatch(word):
        return None
    first = last = date.fromisoformat(word + "-01-01"[len(word) - 4 :])
    if len(word) == 4:
        last = first.replace(month=12, day=31)
    elif len(word) == 7:
        last = first.replace(day=monthrange(first.year, first.month)[1])
    return _Point(first, last)


def _time(text: str, zone: ZoneInfo) -> _Point | None:
    if not re.match(r"\d{4}-\d\d-\d\d[ T]\d", text):
        return None
    moment = datetime.fromisoformat(text)
    return _Point(moment=(moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())
