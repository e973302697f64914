"""Which bans follow from what logs say of one jail and one offender, beside the bans that are known exactly. Pure.

Theory of operation. A log names no ticket: its Ban line is a *fact* of about that time (see `log_fact`). Bans with
their ticket's second (live, restored, rows of a database) are *exact*. `decide` gives each fact to a ban: to an exact
one if there is one that it can mean, otherwise to a ban of its own, an *inexact* one. It is a function of all facts and
all exact bans, and looks at nothing else, in particular not at what was decided before. A ledger only ever gains facts
and exact bans; so the order in which they come, and how often, has no influence.

1. Facts within two seconds of each other, without an unban between them, are one event: the same ban in several logs.
2. An event means the exact ban that the action saw within these two seconds. Its ticket's second may be far away: when
   fail2ban reads a backlog, as after its start, failures after the last one of the ticket are logged before the ban.
3. An event that is left, and whose last failure is known, means the exact ban of that second.
4. One that is left means the exact ban of the second beside it: logs cut fractions off, the database rounds them.
5. One that is left means the last exact ban whose second lies among its failures: a backlog again, of a ban that no
   action saw.
6. One that is left means the last exact ban before it, up to a minute.
7. Every other event is an inexact ban at the second that its facts suggest.

An exact ban is meant by one event; the earlier rule, and then the earlier event, comes first.

Bans are looked at in time spans around what is new (`fact_spans`, `exact_span`). Each reaches as far as the rules do,
so a fact finds the same exact bans that would find it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import TypeAlias

from banledger.ledger.log_fact import Facts, LogFact, by_line, joined
from banledger.spool.events import TICKETS_END

SAME_S = 2.0
"""Facts of one event are no further apart, seconds."""
LATE_S = 60.0
"""A Ban line is no later after its ticket's time, unless a failure's line says so."""
REACH_S = 600
"""How far, in seconds, bans are looked at around what is new: ten times further than a minute may reach."""
UNKNOWN_BANTIME_S = 86_400
"""How long a ban of unknown bantime may have been in force when it was logged, seconds."""

TimeSpan: TypeAlias = tuple[float, float]
"""From and to, UTC epoch seconds, both included."""
Decision: TypeAlias = dict[int, Facts]
"""The facts of each ban, by its ticket's second; exact bans without facts too."""

_NONE_SEEN: Mapping[int, float] = MappingProxyType({})


def decide(facts: Sequence[LogFact], exact: Sequence[int], seen: Mapping[int, float] = _NONE_SEEN) -> Decision:
    """Return the bans of one jail and offender and the facts of each.

    `exact`: seconds of the bans known exactly. `seen`: when the action saw those that it recorded live, by second.
    """
    if len(facts) == 1 and not exact:
        return {second_of_facts(facts): (facts[0],)}
    decided: dict[int, list[LogFact]] = {second: [] for second in exact}
    bans = _Exact(decided, seen)
    left = events(facts)
    for rule in (bans.seen_with, bans.same, bans.beside, bans.among, bans.before) if exact else ():
        unmatched = []
        for event in left:
            second = rule(event)
            if second is None:
                unmatched.append(event)
            else:
                decided[second] += event
                bans.free.remove(second)
        left = unmatched
    for event in left:
        decided.setdefault(second_of_facts(event), []).extend(event)
    return {second: joined(given) for second, given in decided.items()}


def events(facts: Iterable[LogFact]) -> list[Facts]:
    """Return the facts grouped by event, in their order."""
    found: list[list[LogFact]] = []
    for fact in by_line(facts):
        if found and fact.logged - found[-1][0].logged <= SAME_S and not _lifted(found[-1], fact.logged):
            found[-1].append(fact)
        else:
            found.append([fact])
    return [tuple(event) for event in found]


def _lifted(event: Sequence[LogFact], moment: float) -> bool:
    """Whether the ban of an event was lifted by then."""
    return any(fact.logged < fact.unbanned <= moment for fact in event)


def second_of_facts(facts: Sequence[LogFact]) -> int:
    """Return the ticket's second that the facts of an event suggest: the last failure's, or that of the first line."""
    return max([fact.found for fact in facts]) or int(facts[0].logged)


class _Exact:
    """The exact bans; each rule returns the one that an event means, of those that none means yet; None: there is none.

    free  seconds of those that no event means yet
    """

    def __init__(self, exact: Iterable[int], seen: Mapping[int, float]) -> None:
        self.free = set(exact)
        self._seconds = sorted(self.free)
        self._seen = sorted((moment, second) for second, moment in seen.items() if second in self.free)

    def seen_with(self, event: Facts) -> int | None:
        """The ban that the action saw when the event was logged."""
        logged, earliest = event[0].logged, _earliest(event) - REACH_S
        first = bisect_left(self._seen, (logged - SAME_S, 0))
        last = bisect_right(self._seen, (logged + SAME_S, TICKETS_END))
        near = [(abs(moment - logged), second) for moment, second in self._seen[first:last] if second in self.free]
        return min(((apart, second) for apart, second in near if second >= earliest), default=(inf, None))[1]

    def same(self, event: Facts) -> int | None:
        """The ban at the second of the event's last failure."""
        found = max(fact.found for fact in event)
        return found if found in self.free else None

    def beside(self, event: Facts) -> int | None:
        """The ban a second after or before the event's last failure."""
        found = max(fact.found for fact in event)
        return next((second for second in (found + 1, found - 1) if found and second in self.free), None)

    def among(self, event: Facts) -> int | None:
        """The last ban from the event's first failure to its last."""
        found = max(fact.found for fact in event)
        return self._last(_earliest(event), found) if found else None

    def before(self, event: Facts) -> int | None:
        """The last ban up to a minute before the event."""
        logged = event[0].logged
        return self._last(logged - LATE_S, logged + 1)

    def _last(self, first: float, last: float) -> int | None:
        """Return the last free ban between two moments."""
        for place in range(bisect_right(self._seconds, last) - 1, -1, -1):
            second = self._seconds[place]
            if second < first:
                break
            if second in self.free:
                return second
        return None


def _earliest(event: Facts) -> float:
    """Return when the first failure of an event was, as far as it is known."""
    return min(fact.first or fact.found or fact.logged for fact in event)


def fact_spans(fact: LogFact) -> Iterable[TimeSpan]:
    """Return where the exact bans lie that a fact may mean: around its line, and from its first failure to its last.

    The failures may be long before the line: fail2ban reads a backlog when it starts.
    """
    second = second_of_facts((fact,))
    yield fact.logged - REACH_S, fact.logged + REACH_S
    yield (fact.first or second) - REACH_S, second + REACH_S


def fact_reach(fact: LogFact) -> TimeSpan:
    """Return the time from the first of `fact_spans` to the last."""
    second = fact.found or int(fact.logged)
    return min(fact.logged, fact.first or second) - REACH_S, max(fact.logged, second) + REACH_S


def exact_span(second: int, seen: float, bantime: int) -> TimeSpan:
    """Return where inexact bans lie whose facts may mean an exact ban: from its second to its Ban line.

    `seen`: when the action saw it; 0: none did. Then the line is not after its end, as fail2ban bans for no time past.
    """
    last = seen or (TICKETS_END if bantime < 0 else second + (bantime or UNKNOWN_BANTIME_S))
    return second - REACH_S, max(last, second) + REACH_S


def spans(some: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Return the spans joined where they overlap, in order."""
    found: list[TimeSpan] = []
    for first, last in sorted(some):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def within(second: int, among: Sequence[TimeSpan]) -> bool:
    """Whether a second lies in one of these spans."""
    place = bisect_right(among, (second, inf))
    return place > 0 and second <= among[place - 1][1]
