"""Which bans follow from what logs say of one jail and one offender, beside the bans that are known exactly. Pure.

Theory of operation. A log names no ticket: its Ban line is a *fact* of about that time (see `log_fact`). Bans with
their ticket's second (live, restored, rows of a database) are *exact*. `decide` gives each fact to a ban: to an exact
one if there is one that it can mean, otherwise to a ban of its own, an *inexact* one. It is a function of all facts and
all exact bans, and looks at nothing else, in particular not at what was decided before. A ledger only ever gains facts
and exact bans; so the order in which they come, and how often, has no influence.

1. Facts within two seconds of each other are one event: the same ban in several logs.
2. An event whose last failure is known means the exact ban of that second, or of the second beside it: logs cut
   fractions off, fail2ban's database rounds them.
3. An event that is left means the last exact ban before it, up to a minute, if no other event means that.
4. Every other event is an inexact ban at the second that its facts suggest.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from banledger.ledger.log_fact import Facts, LogFact, joined
from banledger.stores import fields as read
from banledger.stores.fields import Damaged

SAME_S = 2.0
"""Facts of one event are no further apart, seconds."""
LATE_S = 60.0
"""A Ban line is no later after its ticket's time, unless a failure's line says so."""
REACH_S = 600
"""How far, in seconds, bans are looked at around a fact or an exact ban: ten times further than one may reach."""

Decision: TypeAlias = dict[int, Facts]
"""The facts of each ban, by its ticket's second; exact bans without facts too."""


def decide(facts: Sequence[LogFact], exact: Sequence[int]) -> Decision:
    """Return the bans of one jail and offender and the facts of each. `exact`: seconds of the bans known exactly."""
    if len(facts) == 1 and not exact:
        return {facts[0].second: (facts[0],)}
    decided: dict[int, list[LogFact]] = {second: [] for second in exact}
    free = set(decided)
    left: list[Facts] = []
    for event in events(facts):
        second = _beside(event, free)
        if second is None:
            left.append(event)
        else:
            decided[second] += event
            free.remove(second)
    for event in left:
        second = _before(event, free)
        free.discard(second)
        decided.setdefault(second, []).extend(event)
    return {second: joined(given) for second, given in decided.items()}


def events(facts: Iterable[LogFact]) -> list[Facts]:
    """Return the facts grouped by event, in their order."""
    found: list[list[LogFact]] = []
    for fact in sorted(facts):
        if found and fact.logged - found[-1][0].logged <= SAME_S:
            found[-1].append(fact)
        else:
            found.append([fact])
    return [tuple(event) for event in found]


def second_of_facts(facts: Sequence[LogFact]) -> int:
    """Return the ticket's second that the facts of an event suggest: the last failure's, or that of the first line."""
    return max(fact.found for fact in facts) or int(facts[0].logged)


def _beside(event: Facts, free: set[int]) -> int | None:
    """Return the exact ban that the event's last failure led to; None: there is none."""
    found = max(fact.found for fact in event)
    return next((second for second in (found, found + 1, found - 1) if second in free), None) if found else None


def _before(event: Facts, free: set[int]) -> int:
    """Return the last exact ban before the event, or the second for an inexact one."""
    logged = event[0].logged
    near = [second for second in free if logged - LATE_S <= second <= logged + 1]
    return max(near, default=second_of_facts(event))


def imported_of(fields: Mapping[str, str]) -> dict[str, int]:
    """Return what `bans:imported` says: the time of the last imported line by source. Damaged fields are left out."""
    found = {}
    for source in fields:
        with suppress(Damaged):
            found[source] = read.whole(fields, source, most=read.YEAR_3000)
    return found


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
