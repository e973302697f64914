"""UTC months, as keys name them: YYMM. Pure."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def months_of(day: str) -> tuple[str, ...]:
    """Return the UTC months (YYMM) of a local day (YYYY-MM-DD): one, or two at a month's edge."""
    year, month, date = int(day[:4]), int(day[5:7]), int(day[8:])
    own = (f"{year % 100:02d}{month:02d}",)
    if date == 1:
        return (_month(year, month - 1), *own)
    if date >= 28:
        return (*own, _month(year, month + 1))
    return own


def _month(year: int, month: int) -> str:
    if month == 0:
        year, month = year - 1, 12
    elif month == 13:
        year, month = year + 1, 1
    return f"{year % 100:02d}{month:02d}"


def is_month(text: str) -> bool:
    """Whether the text is a month (YYMM)."""
    return len(text) == 4 and text.isascii() and text.isdecimal() and 1 <= int(text[2:]) <= 12


def bounds_of(month: str) -> tuple[float, float]:
    """Return the first second of a month (YYMM, 1969 to 2068) and that of the next one, UTC epoch seconds."""
    first = datetime.strptime(month, "%y%m").replace(tzinfo=UTC)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return first.timestamp(), after.timestamp()
