"""Answers for people at a terminal: `report` and `top`. Bans one by one are in `listing`."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from banledger.report.countries import name_of
from banledger.report.formats import chart
from banledger.report.formats.chart import Glyphs
from banledger.report.formats.escape import visible
from banledger.report.formats.moment import local
from banledger.report.formats.screen import Screen
from banledger.report.query import Query, Span
from banledger.report.stats import Count, Report, Top
from banledger.store.ledger import Gap

_TITLES = {
    "ip": "Addresses", "country": "Countries", "jail": "Jails", "server": "Servers", "user": "User names",
    "hour": "Hours", "day": "Days", "id": "Ids",
}  # fmt: skip
_BESIDE = 92  # from this width on sections stand beside each other
_GAPS_SHOWN = 3


def report(answer: Report, screen: Screen) -> None:
    """Print the report."""
    glyphs = screen.glyphs
    screen.print(_heading(answer.query, answer.timezone, glyphs), _totals(answer, glyphs), Text())
    if answer.gaps:
        screen.print(_gaps(answer, screen), Text())
    if not answer.total:
        screen.print(Text("No bans in this time."))
        return
    screen.print(_days(answer, screen), Text())
    tops = [answer.countries, answer.addresses, answer.jails, answer.users]
    tops += [answer.servers] if answer.servers else []
    filled = [top for top in tops if top.rows]
    screen.print(*_sections([partial(_ranked, top, glyphs) for top in filled], screen))
    screen.print(_hours(answer.hours, screen))
    if answer.no_country:
        has = "has" if answer.no_country == 1 else "have"
        why = "a private address, or none"
        screen.print(Text(f"\n{_many(answer.no_country, 'ban')} {has} no country: {why}.", style="dim"))


def top(answer: Top, timezone: str, screen: Screen) -> None:
    """Print the values of a dimension."""
    glyphs = screen.glyphs
    screen.print(_heading(answer.query, timezone, glyphs))
    values = "" if answer.distinct is None else f" {glyphs.dot} {_many(answer.distinct, 'value')}"
    screen.print(Text(f"{_many(answer.total, 'ban')}{values}"), Text())
    if answer.rows:
        screen.print(_ranked(answer, glyphs, min(screen.width, 110)))
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
        day if moment is None else local(moment, zone).strftime("%Y-%m-%d %H:%M")
        for day, moment in ((span.first, span.since), (span.last, span.until))
    )
    if first is None and last is None:
        return f"of all time ({timezone})"
    if first == last:
        return f"of {first} ({timezone})"
    if first is None or last is None:
        return f"{'until' if first is None else 'from'} {first or last} ({timezone})"
    days = f", {_many(_days_in(span), 'day')}" if span.whole else ""
    return f"from {first} to {last}{days} ({timezone})"


def _days_in(span: Span) -> int:
    return (date.fromisoformat(span.last or "") - date.fromisoformat(span.first or "")).days + 1


def _many(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def _totals(answer: Report, glyphs: Glyphs) -> Text:
    text = Text()
    text.append(f"{answer.total:,}", style="bold red")
    text.append(" ban" if answer.total == 1 else " bans")
    if answer.offenders is not None:
        text.append(f" of {_many(answer.offenders, 'address')}")
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
    text.append(f"Lost: {_many(bans, 'ban')} and {_many(others, 'other event')} could not be recorded", style="bold")
    for gap in answer.gaps[:_GAPS_SHOWN]:
        text.append(f"\n  {_gap_line(gap, answer.timezone, screen.glyphs)}")
    if len(answer.gaps) > _GAPS_SHOWN:
        text.append(f"\n  and {len(answer.gaps) - _GAPS_SHOWN} more times")
    return text


def _gap_line(gap: Gap, timezone: str, glyphs: Glyphs) -> str:
    zone = ZoneInfo(timezone)
    start, end = (local(moment, zone).strftime("%Y-%m-%d %H:%M") for moment in (gap.since, gap.seen))
    return visible(f"{start} {glyphs.dash} {end}  {gap.server} {gap.jail}: {gap.reason}")


def _days(answer: Report, screen: Screen) -> RenderableType:
    """Columns by day; of many days by equal bundles of days."""
    counts = [day.bans for day in answer.days]
    label = len(f"{max(counts, default=0):,}")
    room = screen.width - label - 3
    values, size = chart.bundled(counts, room)
    label = max(label, len(f"{max(values, default=0):,}"))
    room = screen.width - label - 3
    values, size = chart.bundled(counts, room)
    width = max(1, min(5, room // max(1, len(values))))
    lines = chart.columns(values, 6, width, screen.glyphs)
    text = Text("Bans per day" if size == 1 else f"Bans per {size} days", style="bold")
    offenders = max(answer.days, key=lambda day: day.offenders, default=None)
    if offenders is not None and offenders.offenders:
        most = f"   most addresses: {offenders.offenders:,} on {offenders.day}"
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


def _sections(makers: Sequence[Callable[[int], RenderableType]], screen: Screen) -> list[RenderableType]:
    """Sections below each other, or in pairs where there is room."""
    if screen.width < _BESIDE:
        return [Padding(make(screen.width), (0, 0, 1, 0)) for make in makers]
    half = (screen.width - 4) // 2
    rows: list[RenderableType] = []
    for start in range(0, len(makers), 2):
        grid = Table.grid(padding=(0, 4, 0, 0))
        pair = [make(half) for make in makers[start : start + 2]]
        for _ in range(2):
            grid.add_column(width=half)
        grid.add_row(*pair)
        rows.append(Padding(grid, (0, 0, 1, 0)))
    return rows


def _ranked(answer: Top, glyphs: Glyphs, width: int) -> RenderableType:
    """A title and a line a value: name, bans, share, bar."""
    labels = [_label(answer.dimension, row) for row in answer.rows]
    most = max((row.bans for row in answer.rows), default=1)
    bars = max(8, width // 4)
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, overflow="crop" if glyphs is chart.ASCII else "ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(width=bars, no_wrap=True)
    grid.expand, grid.width = True, width
    for label, row in zip(labels, answer.rows, strict=True):
        grid.add_row(
            label,
            Text(f"{row.bans:,}", style="bold"),
            Text(f"{100 * row.bans / max(1, answer.total):.1f} %", style="dim"),
            Text(chart.bar(row.bans / most, bars, glyphs), style="red"),
        )
    return Group(_title(answer, glyphs), grid)


def _title(answer: Top, glyphs: Glyphs) -> Text:
    title = Text(_TITLES[answer.dimension], style="bold")
    if answer.distinct is not None and answer.distinct > len(answer.rows):
        title.append(f"  {len(answer.rows)} of {answer.distinct:,}", style="not bold dim")
    return title


def _label(dimension: str, row: Count) -> Text:
    if dimension == "country":
        text = Text(visible(row.name), style="cyan")
        return text.append(f" {name_of(row.name)}" if name_of(row.name) != row.name else "", style="default")
    return Text(visible(row.name))


def _hours(hours: Sequence[int], screen: Screen) -> RenderableType:
    width = 2 if screen.width < _BESIDE else 3
    text = Text("Hours of the day", style="bold")
    text.append("\n" + chart.strip(hours, width, screen.glyphs).rstrip(), style="not bold red")
    marks = "".join(f"{hour:02d}".ljust(width * 3) for hour in range(0, 24, 3)).rstrip()
    text.append("\n" + marks, style="not bold dim")
    return text
