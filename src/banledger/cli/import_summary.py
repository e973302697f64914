"""What an import found in logs and databases, as text or JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from banledger.importer.content import STDIN
from banledger.importer.line_outcome import LineOutcome
from banledger.importer.past_source import SourceCount
from banledger.importer.survey import Survey
from banledger.report.formats.escape import many, visible
from banledger.report.formats.moment import local

_MOST_JAILS = 12
_MOST_REASONS = 20


def lines(survey: Survey, zone: ZoneInfo) -> Iterator[str]:
    """A survey as text; dates in `zone`."""
    for source, outcomes in zip(survey.sources, survey.outcomes, strict=True):
        yield f"{_name(source.path)}: {visible(source.kind)}"
        yield from (f"  {line}" for line in _of_source(source, outcomes, zone))
    for file in survey.refused:
        yield f"refused: {_name(file.path)}: {visible(file.reason)}"
    inexact = sum(outcomes[LineOutcome.INEXACT] for outcomes in survey.outcomes)
    exact = survey.bans - inexact
    if not survey.sources:
        return
    yield f"{many(survey.bans, 'ban')} found: {exact:,} with their ticket's second, {inexact:,} dated by their own line"
    if any(source.lines for source in survey.sources):
        yield f"  times in logs are taken as {zone.key}; --timezone names another zone"
    if any(source.rows for source in survey.sources):
        yield "  a ban that a log and a database tell of, or both tables of a database, counts for each"


def _name(path: str) -> str:
    return "standard input" if path == STDIN else visible(path)


def _of_source(source: SourceCount, outcomes: Counter[LineOutcome], zone: ZoneInfo) -> Iterator[str]:
    span = f"{_date(source.first, zone)} to {_date(source.last, zone)}, " if source.first else ""
    if source.kind.startswith("database"):
        yield f"{span}{many(source.rows, 'row')} of bans"
    else:
        bans, inexact = outcomes[LineOutcome.BANS], outcomes[LineOutcome.INEXACT]
        dated = f": {bans - inexact:,} dated by their last failure, {inexact:,} by their own line" if bans else ""
        yield f"{span}{many(source.lines, 'line')}, {many(bans, 'ban')}{dated}"
        if more := [phrase for outcome, noun in _MORE if (phrase := _counted(outcomes[outcome], noun))]:
            yield ", ".join(more)
    if source.jails:
        yield ", ".join(f"{visible(jail)} {count:,}" for jail, count in _most(source.jails))
    for reason, count in source.refused.most_common(_MOST_REASONS):
        yield f"{many(count, 'line')} left out: {visible(reason)}"
    if source.unclear:
        yield f"{many(source.unclear, 'line')} in an hour that a clock change repeats: its first pass is assumed"
    if source.skipped:
        yield f"{many(source.skipped, 'time')} that a clock change skips: is --timezone right?"
    if source.trouble:
        yield f"read only up to there: {visible(source.trouble)}"


_MORE = (
    (LineOutcome.UNBANS, "unban"),
    (LineOutcome.RESTORED, "restored ban"),
    (LineOutcome.AT_STOP, "unban of a stop"),
    (LineOutcome.EARLIER, "line about a ban from before these logs"),
    (LineOutcome.REPEATED, "line that another source has too"),
)


def _date(moment: float, zone: ZoneInfo) -> str:
    return local(moment, zone).strftime("%Y-%m-%d")


def _counted(count: int, noun: str) -> str:
    first, space, rest = noun.partition(" ")
    if not count:
        return ""
    if first in ("unban", "line"):
        return many(count, first) + space + rest
    return many(count, noun)


def _most(jails: Counter[str]) -> list[tuple[str, int]]:
    ordered = sorted(jails.items(), key=lambda item: (-item[1], item[0]))
    left = sum(count for _, count in ordered[_MOST_JAILS:])
    return [*ordered[:_MOST_JAILS], *([("others", left)] if left else [])]


def as_json(survey: Survey) -> str:
    """A survey as one JSON object. Times are UTC epoch seconds; what is unknown is null."""
    sources = [_object(source, outcomes) for source, outcomes in zip(survey.sources, survey.outcomes, strict=True)]
    refused = [{"path": file.path, "reason": file.reason} for file in survey.refused]
    return json.dumps({"bans": survey.bans, "sources": sources, "refused": refused}, indent=2)


def _object(source: SourceCount, outcomes: Mapping[LineOutcome, int]) -> dict[str, Any]:
    return {
        "path": source.path,
        "kind": source.kind,
        "lines": source.lines,
        "first": source.first or None,
        "last": source.last or None,
        "rows": source.rows,
        "bans": outcomes[LineOutcome.BANS],
        "exact": outcomes[LineOutcome.BANS] - outcomes[LineOutcome.INEXACT],
        "inexact": outcomes[LineOutcome.INEXACT],
        "unbans": outcomes[LineOutcome.UNBANS],
        "unbans_at_stops": outcomes[LineOutcome.AT_STOP],
        "restored": outcomes[LineOutcome.RESTORED],
        "repeated": outcomes[LineOutcome.REPEATED],
        "earlier": outcomes[LineOutcome.EARLIER],
        "jails": dict(source.jails),
        "left_out": dict(source.refused),
        "unclear_times": source.unclear,
        "skipped_times": source.skipped,
        "trouble": source.trouble or None,
    }
