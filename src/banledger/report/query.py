"""Queries as values: they select bans.

Days and times in options are in the ledger's time zone. A day counts as a whole; `24h` and times of day are exact.
Pure: `now` is an argument.
"""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from banledger.errors import QuestionError
from banledger.net.address import canonical_address

PRIVATE = "private"
"""Value of the country filter for private and other special addresses."""

FORMS = (
    "7d, 2w, 3m or 1y (days, weeks, months, years), 24h, 2026-11-01, 2026-11, 2026, '2026-11-01 14:00', "
    "today, yesterday, all"
)
"""The accepted forms of a date."""

_AGO = re.compile(r"(\d{1,5})\s*([hdwmy])")
_YEAR = re.compile(r"\d{4}")
_MONTH = re.compile(r"(\d{4})-(\d\d)")
_EARLIEST = date(1970, 1, 2)
_LATEST = date(9998, 12, 31)


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

    def holds_day(self, day: str) -> bool:
        """Whether part of that local day lies in it."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def holds(self, day: str, time: float) -> bool:
        """Whether a ban of that local day and UTC epoch second lies in it."""
        return (
            self.holds_day(day)
            and (self.since is None or self.since <= time)
            and (self.until is None or time < self.until)
        )


ALL_TIME = Span()


class Query(Struct, frozen=True):
    """Selects the bans in `span` that have, for each filter, any of its values.

    jail, server, user: as text. asn: numbers as text. country: codes, or `private`. ip: canonical addresses and
    networks; a network means every address and network inside it.
    """

    span: Span = ALL_TIME
    jail: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    asn: tuple[str, ...] = ()

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters that are set, by dimension."""
        table = {
            "jail": self.jail,
            "country": self.country,
            "ip": self.ip,
            "server": self.server,
            "user": self.user,
            "asn": self.asn,
        }
        return {name: values for name, values in table.items() if values}


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
        end = _Point(last=_local_day(now, zone))
    made = Span(
        first=_iso(start.first) or _day_of(start.moment, zone),
        last=_iso(end.last) or _day_of(None if end.moment is None else end.moment - 1, zone),
        since=start.moment,
        until=end.moment,
    )
    if _backwards(made):
        raise QuestionError(
            f"empty span: from {since} to {until or 'today'}",
            hint="--since must be before --until",
        )
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
    today = _local_day(now, zone)
    if word == "all" or (word == "now" and option == "--until"):
        return _Point()
    if word in ("today", "yesterday"):
        day = today - timedelta(days=word == "yesterday")
        return _Point(day, day)
    try:
        point = _ago(word, now, today) or _year(word) or _month(word) or _date(word) or _time(text.strip(), zone)
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


def _year(word: str) -> _Point | None:
    if not _YEAR.fullmatch(word):
        return None
    return _Point(date(int(word), 1, 1), date(int(word), 12, 31))


def _month(word: str) -> _Point | None:
    match = _MONTH.fullmatch(word)
    if not match:
        return None
    year, month = int(match[1]), int(match[2])
    return _Point(date(year, month, 1), date(year, month, monthrange(year, month)[1]))


def _date(word: str) -> _Point | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", word):
        return None
    day = date.fromisoformat(word)
    return _Point(day, day)


def _time(text: str, zone: ZoneInfo) -> _Point | None:
    if not re.match(r"\d{4}-\d\d-\d\d[ T]\d", text):
        return None
    moment = datetime.fromisoformat(text)
    return _Point(moment=(moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def _local_day(moment: float, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).date()


def _day_of(moment: float | None, zone: ZoneInfo) -> str | None:
    return None if moment is None else _local_day(moment, zone).isoformat()


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def countries(values: tuple[str, ...]) -> tuple[str, ...]:
    """Country codes in capitals, `private` unchanged. Raises QuestionError."""
    return tuple(_country(value) for value in values)


def _country(value: str) -> str:
    if value.lower() == PRIVATE:
        return PRIVATE
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise QuestionError(f"invalid country {value!r}", hint="two letters such as CN, XX for unknown, or private")
    return value.upper()


def addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical addresses and networks. Raises QuestionError."""
    return tuple(_address(value) for value in values)


def _address(value: str) -> str:
    found = canonical_address(value.strip())
    if found is None:
        raise QuestionError(
            f"invalid address {value!r}", hint="an address or a network such as 192.0.2.7 or 192.0.2.0/24"
        )
    return found


def systems(values: tuple[str, ...]) -> tuple[str, ...]:
    """Numbers of autonomous systems, from `64496` or `AS64496`. Raises QuestionError."""
    return tuple(_system(value) for value in values)


def _system(value: str) -> str:
    number = value.strip().upper().removeprefix("AS")
    if not (number.isascii() and number.isdecimal() and int(number) < 2**32):
        raise QuestionError(f"invalid autonomous system {value!r}", hint="a number such as 64496, or AS64496")
    return str(int(number))
