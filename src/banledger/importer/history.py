"""Which bans a server made, from all events of its logs in order. Pure, in bounded memory.

Theory of operation. A ban begins with a Ban line. Its ticket's second is the date in the last Found line of that jail
and offender before it, if there is one; otherwise the ban is *inexact*: only the moment of its Ban line is known. An
Unban line names no ticket: it belongs to the last ban before it.

What looks like a ban or an unban and is none:

- a restored ban: from 0.10 on its line says so. 0.9 logs a plain Ban; there it is a ban without a failure before it, in
  an unbroken series from the start of its jail on.
- an unban while the server or the jail stops: fail2ban restores the ban at its next start. Before 0.9 it didn't.
- the same line in another log of that server (syslog or the journal beside fail2ban's own): within two seconds.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator

from msgspec import Struct

from banledger.importer.line_outcome import LineOutcome
from banledger.importer.log_event import Kind, LogEvent
from banledger.importer.past_ban import PastBan

NEAR_S = 2.0
"""Lines about one ban in several logs are no further apart."""
FAILURE_S = 600.0
"""A failure this long before a Ban line did not cause it."""

_SERIES_S = 60.0
_MOST_KEPT = 200_000
_KEEPS_BANS = (0, 9)
_SAYS_RESTORED = (0, 10)

_Key = tuple[str, str]


class _Open(Struct):
    """A ban that may still get an unban, or lose it again."""

    key: _Key
    logged: float
    found: int
    first: int
    failures: int
    source: int
    unbanned: float = 0.0
    lifter: int = 0
    bantime: int = 0
    bancount: int = 0

    def done(self) -> PastBan:
        return PastBan(
            self.logged,
            *self.key,
            self.found,
            self.unbanned,
            self.bantime,
            self.bancount,
            self.failures,
            self.source,
            self.first,
        )


class _Failures(Struct, gc=False):
    """The last failures of an offender: the last one's line, its own date, the earliest date, and their number."""

    moment: float
    date: float
    first: float
    count: int = 1


class History:
    """Takes events in order and gives the bans that follow from them.

    `outcomes`: what became of the lines of each source, by number.
    """

    def __init__(self) -> None:
        self.outcomes: defaultdict[int, Counter[LineOutcome]] = defaultdict(Counter)
        self._last: LogEvent | None = None
        self._version: tuple[int, ...] = _SAYS_RESTORED  # until a line says it
        self._stopping = False
        self._failures: dict[_Key, _Failures] = {}
        self._open: dict[_Key, _Open] = {}
        self._lifted: dict[_Key, _Open] = {}
        self._lifted_order: deque[_Open] = deque()
        self._series: dict[str, float] = {}
        self._flushed: dict[str, float] = {}
        self._longer: dict[_Key, LogEvent] = {}
        self._done: list[PastBan] = []

    def take(self, event: LogEvent) -> list[PastBan]:
        """Take the next event; return the bans about which nothing more can come."""
        last, self._last = self._last, event
        if last is not None and event.moment == last.moment and event.what == last.what:
            if event.kind in _COUNTED:
                self._count(event, LineOutcome.REPEATED)
            return []
        if event.kind == _FOUND:
            self._failed(event)
        elif handle := _HANDLERS.get(event.kind):
            handle(self, event)
        if self._lifted_order or self._done:
            self._settle(event.moment)
        done, self._done = self._done, []
        return done

    def end(self) -> Iterator[PastBan]:
        """The bans that are left at the end of all."""
        for ban in (*self._lifted.values(), *self._open.values()):
            self._finish(ban)
        yield from self._done

    def _count(self, event: LogEvent, outcome: LineOutcome) -> None:
        self.outcomes[event.source][outcome] += 1

    def _failed(self, event: LogEvent) -> None:
        key = event.jail, event.text
        known = self._failures.get(key)
        if known is None:
            if len(self._failures) >= _MOST_KEPT:
                self._forget(event.moment)
            self._failures[key] = _Failures(event.moment, event.date, event.date)
            return
        if event.moment - known.moment <= FAILURE_S:
            known.count += 1
            known.first = min(known.first, event.date)
        else:
            known.count, known.first = 1, event.date
        known.moment, known.date = event.moment, event.date

    def _forget(self, now: float) -> None:
        recent = {key: one for key, one in self._failures.items() if now - one.moment <= FAILURE_S}
        self._failures = recent if len(recent) < _MOST_KEPT else {}

    # Bans.

    def _banned(self, event: LogEvent) -> None:
        key = event.jail, event.text
        failures = self._failures.pop(key, None)
        if failures is not None and event.moment - failures.moment > FAILURE_S:
            failures = None
        before = self._open.get(key) or self._lifted.get(key)
        if before is not None and event.moment - before.logged <= NEAR_S and not before.unbanned:
            self._count(event, LineOutcome.REPEATED)
            if failures is not None and not before.found:
                (before.found, before.first), before.failures = _seconds(failures, event), failures.count
            return
        if failures is None and self._is_in_series(event):
            self._series[event.jail] = event.moment
            self._restored(event)
            return
        if key in self._open:
            self._finish(self._open.pop(key))
        if len(self._open) >= _MOST_KEPT:
            self._finish(self._open.pop(next(iter(self._open))))
        found, first = _seconds(failures, event) if failures else (0, 0)
        ban = _Open(key, event.moment, found, first, failures.count if failures else 0, event.source)
        self._open[key] = ban
        longer = self._longer.pop(key, None)
        if longer is not None and event.moment - longer.moment <= NEAR_S:
            _prolong(ban, longer)

    def _is_in_series(self, event: LogEvent) -> bool:
        """Whether a ban without failure is one that 0.9 restores."""
        if not _KEEPS_BANS <= self._version < _SAYS_RESTORED:
            return False
        return event.moment - self._series.get(event.jail, 0.0) <= _SERIES_S

    def _restored(self, event: LogEvent) -> None:
        key = event.jail, event.text
        self._count(event, LineOutcome.RESTORED if key in self._open or key in self._lifted else LineOutcome.EARLIER)

    def _prolonged(self, event: LogEvent) -> None:
        ban = self._open.get((event.jail, event.text))
        if ban is not None and event.moment - ban.logged <= _SERIES_S:
            _prolong(ban, event)
        elif len(self._longer) < _MOST_KEPT:
            self._longer[event.jail, event.text] = event

    # Unbans.

    def _unbanned(self, event: LogEvent) -> None:
        key = event.jail, event.text
        if self._stopping and self._version >= _KEEPS_BANS:
            self._count(event, LineOutcome.AT_STOP)
            return
        ban = self._open.pop(key, None)
        if ban is None:
            self._count(event, LineOutcome.REPEATED if key in self._lifted else LineOutcome.EARLIER)
            return
        self._count(event, LineOutcome.UNBANS)
        ban.unbanned, ban.lifter = event.moment, event.source
        self._drop_lifted(key)
        self._lifted[key] = ban
        self._lifted_order.append(ban)

    def _drop_lifted(self, key: _Key) -> None:
        """Finish an earlier ban of that offender that was lifted."""
        earlier = self._lifted.pop(key, None)
        if earlier is not None:
            self._finish(earlier)

    def _settle(self, now: float) -> None:
        """Finish bans whose unban is old enough to stay."""
        order = self._lifted_order
        while order and (now - order[0].unbanned > FAILURE_S or not order[0].unbanned):
            ban = order.popleft()
            if self._lifted.get(ban.key) is ban:
                del self._lifted[ban.key]
                self._finish(ban)

    def _finish(self, ban: _Open) -> None:
        outcomes = self.outcomes[ban.source]
        outcomes[LineOutcome.BANS] += 1
        outcomes[LineOutcome.INEXACT] += not ban.found
        self._done.append(ban.done())

    # Servers and jails.

    def _server_started(self, event: LogEvent) -> None:
        self._version = version_of(event.text) or self._version
        self._stopping = False

    def _server_stopping(self, event: LogEvent) -> None:
        self._stopping = True

    def _server_exited(self, event: LogEvent) -> None:
        self._stopping = False

    def _jail_began(self, event: LogEvent) -> None:
        self._series[event.jail] = event.moment

    def _jail_flushed(self, event: LogEvent) -> None:
        self._flushed[event.jail] = event.moment

    def _jail_stopped(self, event: LogEvent) -> None:
        """Take back the unbans that the stop made: an unbroken series before it."""
        if self._version < _KEEPS_BANS:
            return
        before, begun = event.moment, self._flushed.get(event.jail, 0.0)
        for ban in reversed(self._lifted_order):
            if ban.key[0] != event.jail or self._lifted.get(ban.key) is not ban:
                continue
            if before - ban.unbanned > NEAR_S or ban.unbanned < begun:
                break
            before = ban.unbanned
            self.outcomes[ban.lifter][LineOutcome.UNBANS] -= 1
            self.outcomes[ban.lifter][LineOutcome.AT_STOP] += 1
            ban.unbanned = 0.0
            del self._lifted[ban.key]
            if self._open.setdefault(ban.key, ban) is not ban:
                self._finish(ban)


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version: `0.10.3.fix1` is (0, 10, 3)."""
    numbers = []
    for word in text.split("."):
        if not (word.isascii() and word.isdecimal() and len(word) < 6):
            break
        numbers.append(int(word))
    return tuple(numbers)


def _seconds(failures: _Failures, ban: LogEvent) -> tuple[int, int]:
    """The ticket's second by the failures before a ban, and that of the first (0: the same).

    Both are 0 if their lines name none that can be.
    """
    if not 0 < failures.date <= ban.moment + 1:
        return 0, 0
    found, first = int(failures.date), int(failures.first)
    return found, first if 0 < first < found else 0


def _prolong(ban: _Open, longer: LogEvent) -> None:
    ban.bancount = longer.number
    ban.bantime = -1 if longer.date < 0 else max(0, int(longer.date) - (ban.found or int(ban.logged)))


_FOUND = int(Kind.FOUND)
_COUNTED = frozenset(map(int, (Kind.BAN, Kind.UNBAN, Kind.RESTORE)))
_HANDLERS = {
    int(Kind.BAN): History._banned,
    int(Kind.RESTORE): History._restored,
    int(Kind.INCREASE): History._prolonged,
    int(Kind.UNBAN): History._unbanned,
    int(Kind.SERVER_STARTED): History._server_started,
    int(Kind.STOPPING): History._server_stopping,
    int(Kind.EXITED): History._server_exited,
    int(Kind.JAIL_STARTED): History._jail_began,
    int(Kind.FLUSH): History._jail_flushed,
    int(Kind.JAIL_STOPPED): History._jail_stopped,
}
