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
5. One that is left means the last exact ban before it, up to a minute.
6. Every other event is an inexact ban at the second that its facts suggest.

An exact ban is meant by one event; the earlier rule, and then the earlier event, comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from banledger.ledger.log_fact import Facts, LogFact, by_line, joined

SAME_S = 2.0
"""Facts of one event are no further apart, seconds."""
LATE_S = 60.0
"""A Ban line is no later after its ticket's time, unless a failure's line says so."""
REACH_S = 600
"""How far, in seconds, bans are looked at around a fact or an exact ban: ten times further than one may reach."""

Decision: TypeAlias = dict[int, Facts]
"""The facts of each ban, by its ticket's second; exact bans without facts too."""


_NONE_SEEN: Mapping[int, float] = MappingProxyType({})


def decide(facts: Sequence[LogFact], exact: Sequence[int], seen: Mapping[int, float] = _NONE_SEEN) -> Decision:
    """Return the bans of one jail and offender and the facts of each.

    `exact`: seconds of the bans known exactly. `seen`: when the action saw those that it recorded live, by second.
    """
    if len(facts) == 1 and not exact:
        return {facts[0].second: (facts[0],)}
    decided: dict[int, list[LogFact]] = {second: [] for second in exact}
    free = set(decided)
    left = events(facts)
    for rule in (lambda event, free: _seen_with(event, free, seen), _same, _beside, _before):
        unmatched = []
        for event in left:
            second = rule(event, free)
            if second is None:
                unmatched.append(event)
            else:
                decided[second] += event
                free.remove(second)
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
    return max(fact.found for fact in facts) or int(facts[0].logged)


def _seen_with(event: Facts, free: set[int], seen: Mapping[int, float]) -> int | None:
    """Return the exact ban that the action saw when the event was logged; None: there is none."""
    logged = event[0].logged
    near = [(abs(seen[second] - logged), second) for second in free if second in seen]
    apart, second = min(near, default=(SAME_S + 1, 0))
    return second if apart <= SAME_S else None


def _same(event: Facts, free: set[int]) -> int | None:
    """Return the exact ban at the second of the event's last failure; None: there is none."""
    found = max(fact.found for fact in event)
    return found if found in free else None


def _beside(event: Facts, free: set[int]) -> int | None:
    """Return the exact ban a second after or before the event's last failure."""
    found = max(fact.found for fact in event)
    return next((second for second in (found + 1, found - 1) if found and second in free), None)


def _before(event: Facts, free: set[int]) -> int | None:
    """Return the last exact ban up to a minute before the event."""
    logged = event[0].logged
    return max((second for second in free if logged - LATE_S <= second <= logged + 1), default=None)


def spans(seconds: Iterable[float]) -> list[tuple[float, float]]:
    """Return the times, from and to, within which bans matter to a decision about these seconds; they don't overlap."""
    found: list[tuple[float, float]] = []
    for second in sorted(seconds):
        if found and second - REACH_S <= found[-1][1]:
            found[-1] = found[-1][0], second + REACH_S
        else:
            found.append((second - REACH_S, second + REACH_S))
    return found


def within(second: int, among: Sequence[tuple[float, float]]) -> bool:
    """Whether a second lies in one of these times."""
    return any(first <= second <= last for first, last in among)
