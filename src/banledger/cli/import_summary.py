"""What an import found in logs and databases, as text or JSON."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from banledger.importer.content import STDIN
from banledger.importer.line_outcome import LineOutcome
from banledger.importer.past_source import SourceCount
from banledger.importer.paths import NamedFile
from banledger.importer.survey import Survey
from banledger.ledger.import_count import ImportCount
from banledger.report.formats.escape import many, visible
from banledger.report.formats.moment import local

_MOST_JAILS = 12
_MOST_REASONS = 20
_MOST_REFUSED = 10


def lines(survey: Survey, zone: ZoneInfo) -> Iterator[str]:
    """A survey as text; dates in `zone`."""
    for source, outcomes in zip(survey.sources, survey.outcomes, strict=True):
        yield f"{_name(source.path)}: {visible(source.kind)}"
        yield from (f"  {line}" for line in _of_source(source, outcomes, zone))
    yield from _refused([file for file in survey.refused if file.listed], "skipped")
    yield from _refused([file for file in survey.refused if not file.listed], "refused")
    if not survey.sources:
        return
    inexact = sum(outcomes[LineOutcome.INEXACT] for outcomes in survey.outcomes)
    exact = survey.bans - inexact
    yield f"{many(survey.bans, 'ban')} found: {exact:,} with their exact time, {inexact:,} dated by their own line"
    if any(source.lines for source in survey.sources if not source.rows):
        yield f"  times in logs are taken as {zone.key}; --timezone names another zone"
    if any(outcomes[LineOutcome.EARLIER] for outcomes in survey.outcomes):
        yield "  earlier bans are in earlier logs: only imported together with them do these logs say how they ended"
    if any(source.rows for source in survey.sources) and any(
        outcomes[LineOutcome.BANS] for outcomes in survey.outcomes
    ):
        yield "  a ban that logs and a database tell of counts for each here, and is recorded once"


def _name(path: str) -> str:
    return "standard input" if path == STDIN else visible(path)


def _refused(files: Sequence[NamedFile], word: str) -> Iterator[str]:
    """Files that are no sources: some with their reasons, the rarest first; of many others the number."""
    how_many = Counter(file.reason for file in files)
    files = sorted(files, key=lambda file: (how_many[file.reason], file))
    for file in files[:_MOST_REFUSED]:
        yield f"{word}: {_name(file.path)}: {visible(file.reason)}"
    if more := Counter(file.reason for file in files[_MOST_REFUSED:]):
        reasons = "; ".join(f"{count:,}: {visible(reason)}" for reason, count in more.most_common(_MOST_REASONS))
        yield f"{word}: {many(more.total(), 'more file')}: {reasons} (--json names all)"


def _of_source(source: SourceCount, outcomes: Counter[LineOutcome], zone: ZoneInfo) -> Iterator[str]:
    span = f"{_date(source.first, zone)} to {_date(source.last, zone)}, " if source.first else ""
    yield span + (_of_database(source) if source.kind.startswith("database") else _of_lines(source, outcomes))
    if bans := outcomes[LineOutcome.BANS]:
        inexact = outcomes[LineOutcome.INEXACT]
        yield f"bans: {bans - inexact:,} dated by their last failure, {inexact:,} by their own line"
    if source.jails:
        yield ", ".join(f"{visible(jail)} {count:,}" for jail, count in _most(source.jails))
    for reason, count in source.refused.most_common(_MOST_REASONS):
        example = source.examples.get(reason, "")
        shown = f"; the first: {visible(example)}" if example else ""
        yield f"{count:,} left out: {visible(reason)}{shown}"
    if source.unclear:
        yield f"{many(source.unclear, 'line')} in an hour that a clock change repeats: its first pass is assumed"
    if source.skipped:
        yield f"{many(source.skipped, 'time')} that a clock change skips: is --timezone right?"
    if source.trouble:
        yield f"read only up to there: {visible(source.trouble)}"


def _of_database(source: SourceCount) -> str:
    """The rows of both tables of a database, which add up."""
    repeated, left_out = source.rows - source.tickets, source.refused.total()
    more = f", {repeated:,} about the same bans" if repeated else ""
    more += f", {left_out:,} left out" if left_out else ""
    return f"{many(source.lines, 'row')}: {many(source.tickets, 'ban')}{more}"


def _of_lines(source: SourceCount, outcomes: Counter[LineOutcome]) -> str:
    """The lines of a log by what they are, which add up."""
    counts = [many(outcomes[LineOutcome.BANS], "ban")]
    counts += [noun(outcomes[outcome]) for outcome, noun in _MORE if outcomes[outcome]]
    counts += [many(source.failures, "failure")] if source.failures else []
    counts += [f"{left_out:,} left out"] if (left_out := source.refused.total()) else []
    counts += [f"{other:,} other"] if (other := _other(source, outcomes)) else []
    return f"{many(source.lines, 'line')}: {', '.join(counts)}"


def _other(source: SourceCount, outcomes: Mapping[LineOutcome, int]) -> int:
    """The number of lines that say nothing of a ban or a failure."""
    of_bans = sum(count for outcome, count in outcomes.items() if outcome != LineOutcome.INEXACT)
    return source.lines - of_bans - source.failures - source.refused.total()


_MORE: tuple[tuple[LineOutcome, Callable[[int], str]], ...] = (
    (LineOutcome.UNBANS, lambda count: many(count, "unban")),
    (LineOutcome.RESTORED, lambda count: many(count, "restored ban")),
    (LineOutcome.AT_STOP, lambda count: f"{many(count, 'unban')} of a stop"),
    (LineOutcome.EARLIER, lambda count: f"{count:,} about earlier bans"),
    (LineOutcome.REPEATED, lambda count: f"{count:,} repeated"),
)


def _date(moment: float, zone: ZoneInfo) -> str:
    return local(moment, zone).strftime("%Y-%m-%d")


def _most(jails: Counter[str]) -> list[tuple[str, int]]:
    ordered = sorted(jails.items(), key=lambda item: (-item[1], item[0]))
    left = sum(count for _, count in ordered[_MOST_JAILS:])
    return [*ordered[:_MOST_JAILS], *([("others", left)] if left else [])]


def as_json(survey: Survey, other: str | None = None, count: ImportCount | None = None) -> str:
    """A survey as one JSON object. Times are UTC epoch seconds; what is unknown is null.

    `other`: a label under which the bans are recorded already. `count`: what the import did.
    """
    sources = [_object(source, outcomes) for source, outcomes in zip(survey.sources, survey.outcomes, strict=True)]
    files = {
        word: [{"path": file.path, "reason": file.reason} for file in survey.refused if file.listed == listed]
        for word, listed in (("refused", False), ("skipped", True))
    }
    done = {"recorded": _recorded(count), "recorded_as": other}
    return json.dumps({"bans": survey.bans, "sources": sources} | files | done, indent=2)


def _recorded(count: ImportCount | None) -> dict[str, Any] | None:
    if count is None:
        return None
    lines = count.lines
    numbers = {"new": lines.new, "known": lines.known, "amended": lines.amended, "set_aside": lines.aside}
    return {"bans": count.bans} | numbers | {"exact": count.exact}


def _object(source: SourceCount, outcomes: Mapping[LineOutcome, int]) -> dict[str, Any]:
    bans = source.tickets if source.rows else outcomes[LineOutcome.BANS]
    return {
        "path": source.path,
        "kind": source.kind,
        "lines": source.lines,
        "first": source.first or None,
        "last": source.last or None,
        "rows": source.rows,
        "bans": bans,
        "exact": bans - outcomes[LineOutcome.INEXACT],
        "inexact": outcomes[LineOutcome.INEXACT],
        "unbans": outcomes[LineOutcome.UNBANS],
        "unbans_at_stops": outcomes[LineOutcome.AT_STOP],
        "restored": outcomes[LineOutcome.RESTORED],
        "repeated": outcomes[LineOutcome.REPEATED],
        "earlier": outcomes[LineOutcome.EARLIER],
        "failures": source.failures,
        "other_lines": 0 if source.rows else _other(source, outcomes),
        "jails": dict(source.jails),
        "left_out": dict(source.refused),
        "examples": source.examples,
        "unclear_times": source.unclear,
        "skipped_times": source.skipped,
        "trouble": source.trouble or None,
    }
