"""Answers as CSV (RFC 4180, a header first). Cells of text are made visible and can't be formulas."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from zoneinfo import ZoneInfo

from banledger.geo.countries import name_of
from banledger.ledger.ban import Ban
from banledger.report.formats.escape import cell
from banledger.report.formats.json import ban_object
from banledger.report.show import NONE_STOPPED, Shown, Stopped
from banledger.report.summary import HOURS, Report, Top

_BAN = (
    "id", "server", "jail", "ip", "fid", "scope", "country", "country_from", "network", "asn", "org", "located",
    "time", "time_iso", "day", "failures", "bantime", "bancount", "expires", "unbanned", "ended", "state", "in_force",
    "users", "matches",    "origin",
)  # fmt: skip


def report(answer: Report) -> Iterator[str]:
    """One line a count: which section it is of, the value's name, its bans, offenders where counted."""
    yield _line(("section", "name", "bans", "offenders"))
    yield _line(("total", "", answer.total, answer.offenders))
    yield _line(("all_time", "", answer.all_time, None))
    yield _line(("banned_now", "", answer.banned_now, None))
    yield _line(("no_country", "", answer.no_country, None))
    for day in answer.days:
        yield _line(("day", day.day, day.bans, day.offenders))
    for hour, bans in zip(HOURS, answer.hours, strict=True):
        yield _line(("hour", hour, bans, None))
    for top_ in (answer.countries, answer.jails, answer.users, answer.addresses, answer.networks, answer.servers):
        for row in top_.rows if top_ else ():
            yield _line((top_.dimension if top_ else "", row.name, row.bans, None))
    for gap in answer.gaps:
        yield _line(("gap", f"{gap.server} {gap.jail}", gap.bans, None))


def top(answer: Top) -> Iterator[str]:
    """One line a value."""
    named = answer.dimension == "country"
    yield _line((answer.dimension, *(("name",) if named else ()), "bans"))
    for row in answer.rows:
        yield _line((row.name, *((name_of(row.name),) if named else ()), row.bans))


def bans(answer: Iterable[Ban], zone: ZoneInfo, now: float, stopped: Stopped = NONE_STOPPED) -> Iterator[str]:
    """One line a ban; users and matches are joined by blanks and line feeds (shown as `\\x0a`)."""
    yield _line(_BAN)
    for ban in answer:
        fields = ban_object(ban, zone, now, stopped)
        fields["users"] = " ".join(ban.users)
        fields["matches"] = "\n".join(ban.matches)
        yield _line(tuple(fields[name] for name in _BAN))


def show(answer: Shown, zone: ZoneInfo, now: float, stopped: Stopped = NONE_STOPPED) -> Iterator[str]:
    """As `bans`."""
    return bans(answer.bans, zone, now, stopped)


def _line(cells: Iterable[object]) -> str:
    out = StringIO()
    csv.writer(out, lineterminator="").writerow([_cell(value) for value in cells])
    return out.getvalue()


def _cell(value: object) -> object:
    """`true` and `false` are as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return cell(value) if isinstance(value, str) else value
