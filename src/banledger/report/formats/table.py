"""Answers for people at a terminal: `report` and `top`. Bans one by one are in `listing`."""

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from banledger.geo.countries import name_of
from banledger.ledger.gap import Gap
from banledger.report import columns
from banledger.report.answers import Count, Report, Top
from banledger.report.formats import chart
from banledger.report.formats.base import Presentation
from banledger.report.formats.chart import Glyphs
from banledger.report.formats.escape import many, visible
from banledger.report.formats.moment import short
from banledger.report.formats.screen import Screen
from banledger.report.query import Query, Span

_WHOIS = dict.fromkeys(("network", "asn", "org"), ": whois has not answered, or is disabled")
_EMPTY = "No bans yet.\nA jail is recorded if `fail2ban-client get JAIL actions` lists banledger."
_BESIDE = 92  # from this width on, sections are side by side
_HOURS_WIDE = 48  # two columns per hour
_GAPS_SHOWN = 3


def report(answer: Report, screen: Screen) -> None:
    """Print the report."""
    glyphs = screen.glyphs
    screen.print(_heading(answer.query, answer.timezone, glyphs), _totals(answer, glyphs), Text())
    if answer.gaps:
        screen.print(_gaps(answer, screen), Text())
    if not answer.total:
        screen.print(Text("No bans in this time." if answer.all_time else _EMPTY))
        return
    screen.print(_days(answer, screen), Text())
    screen.print(_sections([top for top in answer.tops.values() if top.rows], screen))
    screen.print(_hours(answer.hours, screen))
    if answer.no_country:
        has = "has" if answer.no_country == 1 else "have"
        why = "the address is private or special, or there is none"
        screen.print(Text(f"\n{many(answer.no_country, 'ban')} {has} no country: {why}.", style="dim"))
    if answer.waiting:
        wait = "waits" if answer.waiting == 1 else "wait"
        among = "" if answer.query.span.all_time and not answer.query.filters else " of all time"
        screen.print(Text(f"\n{many(answer.waiting, 'ban')}{among} {wait} for whois.", style="dim"))


def top(answer: Top, view: Presentation, screen: Screen) -> None:
    """Print the values of a dimension."""
    glyphs = screen.glyphs
    screen.print(_heading(answer.query, str(view.zone), glyphs))
    noun = columns.noun(answer.dimension)
    values = "" if answer.distinct is None else f" {glyphs.dot} {many(answer.distinct, noun)}"
    screen.print(Text(f"{many(answer.total, 'ban')}{values}"), Text())
    if answer.rows:
        screen.print(_ranked(answer, screen, min(screen.width, 110)))
    elif answer.total:
        screen.print(Text(f"The ledger knows no {noun} of these bans{_WHOIS.get(answer.dimension, '')}."))
    else:
        screen.print(Text("No bans in this time."))


def _heading(query: Query, timezone: str, glyphs: Glyphs) -> Text:
    text = Text("Bans ", style="bold")
    text.append(span_text(query.span, timezone, glyphs))
    for name, values in query.filters.items():
        text.append(f" {glyphs.dot} {name} {visible(', '.join(values))}", style="cyan")
    return text


def span_text(span: Span, timezone: str, glyphs: Glyphs) -> str:
    """A span in words."""
    zone = ZoneInfo(timezone)
    first, last = (
        day if moment is None else short(moment, zone)[:-3]
        for day, moment in ((span.first, span.since), (span.last, span.until))
    )
    if first is None and last is None:
        return f"of all time ({timezone})"
    if first == last:
        return f"of {first} ({timezone})"
    if first is None or last is None:
        return f"{'until' if first is None else 'from'} {first or last} ({timezone})"
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1 if span.whole else 0
    return f"from {first} to {last}{', ' + many(days, 'day') if days else ''} ({timezone})"


def _totals(answer: Report, glyphs: Glyphs) -> Text:
    text = Text()
    text.append(f"{answer.total:,}", style="bold red")
    text.append(many(answer.total, "ban").removeprefix(f"{answer.total:,}"))
    if answer.offenders is not None:
        text.append(f" of {many(answer.offenders, 'address')}")
    if answer.banned_now is not None:
        text.append(f" {glyphs.dot} ")
        text.append(f"{answer.banned_now:,}", style="bold")
        text.append(" in force now")
    if not answer.query.span.all_time or answer.query.filters:
        since = f" since {answer.since}" if answer.since else ""
        text.append(f" {glyphs.dot} {answer.all_time:,} of all time{since}", style="dim")
    elif answer.since:
        text.append(f" {glyphs.dot} since {answer.since}", style="dim")
    return text


def _gaps(answer: Report, screen: Screen) -> Text:
    bans, others = sum(gap.bans for gap in answer.gaps), sum(gap.others for gap in answer.gaps)
    text = Text(style="yellow")
    text.append(f"Lost: {many(bans, 'ban')} and {many(others, 'other event')} could not be recorded", style="bold")
    for gap in answer.gaps[:_GAPS_SHOWN]:
        text.append(f"\n  {_gap_line(gap, answer.timezone, screen.glyphs)}")
    if len(answer.gaps) > _GAPS_SHOWN:
        text.append(f"\n  and {len(answer.gaps) - _GAPS_SHOWN} more times")
    return text


def _gap_line(gap: Gap, timezone: str, glyphs: Glyphs) -> str:
    zone = ZoneInfo(timezone)
    start, end = (short(moment, zone)[:-3] for moment in (gap.since, gap.seen))
    return visible(f"{start} {glyphs.dash} {end}  {gap.server} {gap.jail}: {gap.reason}")


def _days(answer: Report, screen: Screen) -> Text:
    """Columns by day; for many days, by equal bundles of days."""
    counts = [day.bans for day in answer.days]
    values, label = counts, 0
    for _ in range(2):  # the label of a bundle may be longer than that of any day
        label = max(label, len(f"{max(values, default=0):,}"))
        room = screen.width - label - 3
        values, size = chart.bundled(counts, room)
    width = max(1, min(5, room // max(1, len(values))))
    lines = chart.columns(values, 6, width, screen.glyphs)
    text = Text("Bans per day" if size == 1 else f"Bans per {size} days", style="bold")
    offenders = max(answer.days, key=lambda day: day.offenders, default=None)
    if offenders is not None and offenders.offenders:
        most = f"   at most {many(offenders.offenders, 'address')} in one day, on {offenders.day}"
        text.append(most, style="not bold dim")
    edge = {0: f"{max(values, default=0):,}", len(lines) - 1: "0"}
    for number, line in enumerate(lines):
        text.append(f"\n{edge.get(number, ''):>{label}} ", style="not bold dim")
        text.append(line.rstrip(), style="not bold red")
    first, last = (answer.days[0].day, answer.days[-1].day) if answer.days else ("", "")
    between = max(1, len(values) * width - len(first) - len(last) - (width > 1))
    axis = first if first == last else f"{first}{' ' * between}{last}"
    text.append(f"\n{'':>{label}} {axis}", style="not bold dim")
    return text


def _sections(tops: Sequence[Top], screen: Screen) -> Table:
    """Sections one below another, or in pairs if there is room."""
    across = 2 if screen.width >= _BESIDE else 1
    width = (screen.width - (across - 1) * 4) // across
    grid = Table.grid(*(Column(width=width) for _ in range(across)), padding=(0, 4, 0, 0))
    for start in range(0, len(tops), across):
        grid.add_row(*(_ranked(top, screen, width) for top in tops[start : start + across]))
        grid.add_row()
    return grid


def _ranked(answer: Top, screen: Screen, width: int) -> Group:
    """A title and one line per value: name, bans, share, bar."""
    bars = max(8, width // 4)
    most = max((1, *(row.bans for row in answer.rows)))
    bans = [f"{row.bans:,}" for row in answer.rows]
    shares = [f"{100 * row.bans / max(1, answer.total):.1f} %" for row in answer.rows]
    counts, parts = (max(map(len, column), default=0) for column in (bans, shares))
    grid = Table.grid(
        Column(width=width - counts - parts - bars - 3, no_wrap=True, overflow=screen.overflow),
        Column(justify="right", style="bold"),
        Column(justify="right", style="dim"),
        Column(width=bars, style="red"),
        padding=(0, 1, 0, 0),
    )
    for row, count, share in zip(answer.rows, bans, shares, strict=True):
        grid.add_row(_label(answer.dimension, row), count, share, chart.bar(row.bans / most, bars, screen.glyphs))
    return Group(_title(answer, screen), grid)


def _title(answer: Top, screen: Screen) -> Text:
    title = Text(columns.title(answer.dimension), style="bold", no_wrap=True, overflow=screen.overflow)
    if answer.distinct is not None and answer.distinct > len(answer.rows):
        title.append(f"  {len(answer.rows)} of {answer.distinct:,}", style="not bold dim")
    return title


def _label(dimension: str, row: Count) -> Text:
    if dimension == "country":
        text = Text().append(visible(row.name), style="cyan")
        return text.append(f" {name_of(row.name)}" if name_of(row.name) != row.name else "", style="default")
    if row.owner:
        return Text(visible(row.name), style="cyan").append(f" {visible(row.owner)}", style="default")
    if dimension == "asn":
        return Text(f"AS{visible(row.name)}")
    return Text(visible(row.name))


def _hours(hours: Sequence[int], screen: Screen) -> Text:
    width = 1 if screen.width < _HOURS_WIDE else 2 if screen.width < _BESIDE else 3
    text = Text("Hours of the day", style="bold")
    text.append("\n" + chart.strip(hours, width, screen.glyphs).rstrip(), style="not bold red")
    marks = "".join(f"{hour:02d}".ljust(width * 3) for hour in range(0, 24, 3)).rstrip()
    text.append("\n" + marks, style="not bold dim")
    return text
