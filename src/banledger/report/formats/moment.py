"""Times and durations for people."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def local(moment: float, zone: ZoneInfo) -> datetime:
    """Local time of UTC epoch seconds."""
    return datetime.fromtimestamp(moment, UTC).astimezone(zone)


def short(moment: float, zone: ZoneInfo) -> str:
    """2026-11-23 14:05:09, local."""
    return local(moment, zone).strftime("%Y-%m-%d %H:%M:%S")


def iso(moment: float, zone: ZoneInfo) -> str:
    """ISO 8601 with the offset, whole seconds."""
    return local(int(moment), zone).isoformat()


def duration(seconds: int) -> str:
    """10m, 1h 30m, 7d; negative is for ever."""
    if seconds < 0:
        return "for ever"
    parts = []
    for size, unit in _UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def rough(seconds: float) -> str:
    """A duration in its largest unit: 3 h, 12 min, 2 d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size):,} {unit}"
    return f"{max(0, int(seconds))} s"
