"""What is to be decided about offenders, and where the bans lie that matter for that. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct, field

from banledger.ledger.log_fact import LogFact, fact_of
from banledger.ledger.merge import subject_of
from banledger.ledger.offender import Offender, offender_of_line
from banledger.ledger.past import TimeSpan, exact_span, fact_reach, fact_spans, spans
from banledger.spool.events import BanLine


class Near(Struct):
    """Of one offender the new facts with their lines, and the spans of exact bans that may be new."""

    lines: list[BanLine] = field(default_factory=list)
    facts: list[LogFact] = field(default_factory=list)
    exact: tuple[TimeSpan, ...] = ()

    @property
    def spans(self) -> list[TimeSpan]:
        """Where bans matter."""
        return spans([*(span for fact in self.facts for span in fact_spans(fact)), *self.exact])

    @property
    def reach(self) -> TimeSpan:
        """From the beginning of the first of the spans to the end of the last."""
        if len(self.facts) == 1 and not self.exact:
            return fact_reach(self.facts[0])
        reaches = [*map(fact_reach, self.facts), *self.exact]
        return min(reaches)[0], max([last for _, last in reaches])


Nears: TypeAlias = Mapping[Offender, Near]


def nears(of_logs: Iterable[BanLine], exact: Iterable[BanLine]) -> dict[Offender, Near]:
    """Return what is to be decided after lines of logs, and exact ones beside which there may be facts."""
    found: dict[Offender, Near] = {}
    for line in of_logs:
        offender = offender_of_line(line)
        if (one := found.get(offender)) is None:
            found[offender] = Near([line], [fact_of(line)])
        else:
            one.lines.append(line)
            one.facts.append(fact_of(line))
    for line in exact:
        one = found.setdefault(offender_of_line(line), Near())
        one.exact = (*one.exact, _span_of(line))
    return found


def reach(some: Nears) -> TimeSpan:
    """Return from when to when bans of any of these matter."""
    reaches = [one.reach for one in some.values()]
    return min(reaches)[0], max([last for _, last in reaches])


def _span_of(line: BanLine) -> TimeSpan:
    """Return where facts may mean the ban of an exact line."""
    saw = line.seen if not line.origin and not line.restored else 0.0
    return exact_span(subject_of(line).time, saw, line.bantime)
