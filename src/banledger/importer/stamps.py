"""Times in logs to UTC epoch seconds. Pure, and fast: lines of one minute share one conversion.

Theory of operation. fail2ban logs local times without their zone. An hour that a clock change repeats comes twice:
where the times of one file jump back inside that hour, its second pass begins. Without such a jump the first pass is
assumed, and the lines are counted (`unclear`). A time that a clock change skips can't have been logged in that zone:
it is read as if the clock had not been changed, and counted (`skipped`). Syslog's times have no year: it is the latest
year that doesn't lie after the file's own date.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

MOST_AHEAD_S = 366 * 86_400
"""A source's times further ahead of now are refused."""

_DAY_S = 86_400
_BACK_S = 60.0  # less is disorder of threads, or a correction of the clock
_MOST_MINUTES = 20_000
_NAMES = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_MONTHS = {name: number for number, name in enumerate(_NAMES.split(), 1)}


class Stamps:
    """Converts the times of one file, in the file's order. `written`: when the file was last written (UTC epoch).

    All methods raise ValueError for what is no time.
    """

    def __init__(self, zone: ZoneInfo, written: float) -> None:
        self._zone = zone
        self._written = written
        self._minutes: dict[bytes, float] = {}
        self._repeated: dict[bytes, tuple[float, float]] = {}
        self._days: dict[bytes, bytes] = {}
        self._offsets: dict[bytes, float] = {}
        self._change = self._last = 0.0
        self._second_pass = False
        self._first_passes: dict[float, int] = {}
        self.skipped = 0

    @property
    def unclear(self) -> int:
        """Number of times in repeated hours of which the file does not show the pass."""
        return sum(self._first_passes.values())

    def local(self, text: bytes) -> float:
        """`2026-11-23 02:13:20`, also with T."""
        base = self._minutes.get(text[:16])
        if base is None:
            return self._slowly(text)
        return base + int(text[17:19])

    def near(self, text: bytes, moment: float) -> float:
        """The same for a time that another line names: in a repeated hour, the last pass that isn't after `moment`."""
        base = self._minutes.get(text[:16])
        if base is not None:
            return base + int(text[17:19])
        passes = self._passes(text)
        if len(passes) == 1:
            return passes[0] + int(text[17:19])
        return max((one for one in passes if one <= moment + 1), default=passes[0]) + int(text[17:19])

    def yearless(self, text: bytes) -> float:
        """`Nov 23 02:13:20`, perhaps with a fraction."""
        day = self._days.get(text[:6]) or self._with_year(text[:6])
        return self.local(day + text[7:15]) + _fraction(text[15:])

    def iso(self, text: bytes) -> float:
        """`2026-11-23T02:13:20.123456+01:00`, the fraction and the colon optional, also with Z."""
        zone = text[19:].lstrip(b".,0123456789")
        key = text[:16] + zone
        base = self._offsets.get(key)
        if base is None:
            if len(self._offsets) > _MOST_MINUTES:
                self._offsets.clear()
            whole = datetime.fromisoformat((text[:16] + b":00" + zone).decode("ascii"))
            base = self._offsets[key] = whole.timestamp()
        return base + int(text[17:19]) + _fraction(text[19 : len(text) - len(zone)])

    def unix(self, text: bytes) -> float:
        """`1795400000.123456`."""
        return float(text)

    def _slowly(self, text: bytes) -> float:
        passes, second = self._passes(text), int(text[17:19])
        if len(passes) == 1:
            return passes[0] + second
        return self._pass(passes[0] + second, passes[1] + second)

    def _pass(self, first: float, second: float) -> float:
        """Which of the two moments with the same local time it is."""
        change = second // _DAY_S
        if change != self._change:
            self._change, self._last, self._second_pass = change, first, False
        if not self._second_pass and first < self._last - _BACK_S:
            self._second_pass = True
            self._first_passes.pop(change, None)
        self._last = first
        if self._second_pass:
            return second
        self._first_passes[change] = self._first_passes.get(change, 0) + 1
        return first

    def _passes(self, text: bytes) -> tuple[float, ...]:
        """The moments at which that minute began: one, or two in a repeated hour."""
        minute = text[:16]
        if known := self._repeated.get(minute):
            return known
        local = datetime.fromisoformat(minute.decode("ascii"))
        if local.tzinfo or len(minute) != 16:
            raise ValueError("not a time")
        first = local.replace(tzinfo=self._zone).timestamp()
        second = local.replace(tzinfo=self._zone, fold=1).timestamp()
        if second > first:
            self._repeated[minute] = first, second
            return first, second
        if second < first:
            self.skipped += 1
            return (first,)
        if len(self._minutes) > _MOST_MINUTES:
            self._minutes.clear()
        self._minutes[minute] = first
        return (first,)

    def _with_year(self, text: bytes) -> bytes:
        month, day = _MONTHS.get(text[:3], 0), int(text[4:6])
        last = datetime.fromtimestamp(self._written + _DAY_S, self._zone).replace(tzinfo=None)
        for year in range(last.year, last.year - 9, -1):  # the eighth year back is a leap year
            try:
                date = datetime(year, month, day)  # noqa: DTZ001 - a local date
            except ValueError:
                continue
            if date <= last:
                found = self._days[text] = date.strftime("%Y-%m-%d ").encode()
                return found
        raise ValueError("not a date")


def _fraction(text: bytes) -> float:
    """`.123` or `,123`; empty: 0."""
    return float(b"0." + text[1:]) if len(text) > 1 else 0.0
