"""The demo's log, with its dates moved so that it ends now. Pure except for reading the package's data.

Its lines begin with `Mar 27 13:06:56`, as syslog writes them: local time, and no year. fail2ban assumes the latest year
that doesn't put a line into the future, so a log moved over a New Year is read correctly.
"""

import gzip
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.resources import files

from msgspec import Struct

YEAR = 2017
"""A year for the shipped log, which has none: from March on the year makes no difference."""

_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY = timedelta(days=1)
_STAMP = re.compile(rb"(?m)^([A-Z][a-z][a-z]) ([ 0-3]\d) (\d\d):(\d\d):(\d\d)")


class AuthLog(Struct, frozen=True):
    """A log's text, its number of lines, and its first and last local day."""

    text: bytes
    lines: int
    first: date
    last: date


def shipped(now: datetime) -> AuthLog:
    """The package's log, moved to end within the day before `now` (local, naive)."""
    packed = (files("banledger.demo") / "auth.log.gz").read_bytes()
    return moved(gzip.decompress(packed), YEAR, now)


def moved(text: bytes, year: int, now: datetime) -> AuthLog:
    """A log that begins in `year`, moved by whole days so that its last stamp is at most a day before `now`.

    Times of day and the text after the stamp stay as they are. There must be a stamp.
    """
    stamps = list(_dated(text, year))
    shift = now - stamps[-1]
    days = shift - (shift % _DAY)
    new = iter([stamp + days for stamp in stamps])
    return AuthLog(
        text=_STAMP.sub(lambda _: _written(next(new)), text),
        lines=text.count(b"\n"),
        first=(stamps[0] + days).date(),
        last=(stamps[-1] + days).date(),
    )


def _dated(text: bytes, year: int) -> Iterator[datetime]:
    """Each stamp with its year: a jump of half a year in months marks a New Year."""
    before = None
    for match in _STAMP.finditer(text):
        month = _MONTHS.index(match[1]) + 1
        if before is not None and abs(month - before) > 6:
            year += 1 if month < before else -1
        before = month
        day, hour, minute, second = (int(part) for part in match.groups()[1:])
        yield datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # local, as the log is


def _written(stamp: datetime) -> bytes:
    month = _MONTHS[stamp.month - 1].decode()
    return f"{month} {stamp.day:2d} {stamp:%H:%M:%S}".encode()
