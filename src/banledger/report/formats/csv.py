"""Answers as CSV (RFC 4180, with header). Text cells are escaped and can't be formulas."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import TypeAlias

from banledger.geo.countries import name_of
from banledger.ledger.ban import Ban
from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.columns import ban_columns, ban_values
from banledger.report.formats.base import AnyAnswer, Lines, Presentation
from banledger.report.formats.escape import cell
from banledger.report.formats.json import NETWORK, whois_object
from banledger.whois.stored import WhoisAnswer

_Row: TypeAlias = tuple[object, ...]


class CsvFormat(Lines):
    """A header and one line per count, value or ban; see each function."""

    def lines(self, answer: AnyAnswer, view: Presentation) -> Iterable[str]:
        """See Lines.lines."""
        match answer:
            case Report():
                rows = _report(answer)
            case Top():
                rows = _top(answer)
            case Listed():
                rows = _bans(answer.bans, view)
            case Shown():
                rows = _bans(answer.bans[: view.count], view)
            case _:
                rows = _whois(answer, view.now)
        return map(_line, rows)


def _report(answer: Report) -> Iterator[_Row]:
    """Columns: section of a count, the value's name, its bans, offenders if counted."""
    yield "section", "name", "bans", "offenders"
    yield "total", "", answer.total, answer.offenders
    for name in ("all_time", "banned_now", "no_country"):
        yield name, "", getattr(answer, name), None
    for day in answer.days:
        yield "day", day.day, day.bans, day.offenders
    for hour, bans in enumerate(answer.hours):
        yield "hour", f"{hour:02d}", bans, None
    for name, top in answer.tops.items():
        for row in top.rows:
            yield name, row.name, row.bans, None
    for gap in answer.gaps:
        yield "gap", f"{gap.server} {gap.jail}", gap.bans, None


def _top(answer: Top) -> Iterator[_Row]:
    named = answer.dimension == "country"
    yield answer.dimension, *(("name",) if named else ()), "bans"
    for row in answer.rows:
        yield row.name, *((name_of(row.name),) if named else ()), row.bans


def _bans(bans: Iterable[Ban], view: Presentation) -> Iterator[_Row]:
    """Users and matches are joined by blanks and line feeds (shown as `\\x0a`)."""
    columns = ban_columns()
    yield columns
    for ban in bans:
        joined = {"users": " ".join(ban.users), "matches": "\n".join(ban.matches)}
        yield tuple((ban_values(ban, columns, view) | joined).values())


def _whois(answer: WhoisAnswer, now: float) -> Iterator[_Row]:
    found = whois_object(answer, now)
    network = found.pop("network") or {}
    yield *found, *(f"network_{name}" for name in NETWORK)
    lists = (network.get(name) for name in NETWORK)
    yield *found.values(), *(" ".join(value) if isinstance(value, tuple) else value for value in lists)


def _line(cells: Iterable[object]) -> str:
    out = StringIO()
    csv.writer(out, lineterminator="").writerow([_cell(value) for value in cells])
    return out.getvalue()


def _cell(value: object) -> object:
    """Write `true` and `false` as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return cell(value) if isinstance(value, str) else value
