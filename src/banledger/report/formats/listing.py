"""Bans one by one for people at a terminal: `bans` and `show`."""

from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from banledger.geo.countries import name_of
from banledger.ledger.ban import Ban
from banledger.ledger.network import Network
from banledger.net.prefix import block
from banledger.net.special import described, kind_of
from banledger.report.answers import Shown
from banledger.report.formats.escape import visible
from banledger.report.formats.moment import duration, short
from banledger.report.formats.screen import Screen
from banledger.report.show import NONE_STOPPED, Phase, State, Stopped, state_of
from banledger.whois.stored import AROUND, WhoisAnswer

_REMARKS = 8
_MATCHES = 100
_DETAILED = 5  # up to so many bans are shown with all that is known
_STYLES = {
    Phase.UNTIL: "red",
    Phase.FOR_EVER: "bold red",
    Phase.RAN_OUT: "dim",
    Phase.LIFTED: "green",
    Phase.ENDED: "green",
    Phase.STOPPED: "yellow",
}


def bans(answer: Sequence[Ban], zone: ZoneInfo, now: float, screen: Screen, stopped: Stopped = NONE_STOPPED) -> None:
    """Print a line a ban, with as many columns as the screen has room for."""
    if not answer:
        screen.print(Text("No bans."))
        return
    states = [state_of(ban, now, stopped) for ban in answer]
    table, widths = _laid_out(answer, states, zone, screen.width)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, width in widths.items():
        right = name == "failures"
        grid.add_column(
            Text(name, style="dim"),
            justify="right" if right else "left",
            no_wrap=True,
            overflow=screen.overflow,
            width=width,
        )
    grid.show_header = True
    for row in zip(*(table[name] for name in widths), strict=True):
        grid.add_row(*row)
    screen.print(grid)


_COLUMNS = ("time", "server", "jail", "address", "from", "failures", "state", "users", "id")
_WIDEST = {"address": 43, "jail": 24, "server": 20, "users": 30}
_BY_WEIGHT = ("time", "address", "jail", "state", "from", "id", "server", "failures", "users")
"""Columns by importance: each is shown if there is room left for it."""
_GAP = 2
_Columns = dict[str, list[Text]]


def _laid_out(
    answer: Sequence[Ban], states: Sequence[State], zone: ZoneInfo, room: int
) -> tuple[_Columns, dict[str, int]]:
    """The cells, and the width of each column to show. Moments are short where there is no room for the id else.

    An id is what `show` needs to tell all about a ban.
    """
    for brief in (False, True):
        cells = {
            name: [_cell(ban, name, zone, state, brief=brief) for ban, state in zip(answer, states, strict=True)]
            for name in _COLUMNS
        }
        widths = _fitting(cells, room)
        if "id" in widths:
            break
    return cells, widths


def _fitting(table: _Columns, room: int) -> dict[str, int]:
    """The columns to show, each with its width; the address is cut where even it has no room."""
    left = room + _GAP
    widths: dict[str, int] = {}
    for name in _BY_WEIGHT:
        cells = table[name]
        width = min(max(len(name), *(cell.cell_len for cell in cells)), _WIDEST.get(name, room))
        if name == "address":
            width = max(len(name), min(width, left - _GAP))
        if width + _GAP > left or (name == "server" and len({cell.plain for cell in cells}) == 1):
            continue
        widths[name] = width
        left -= width + _GAP
    return {name: widths[name] for name in _COLUMNS if name in widths}


def _cell(ban: Ban, name: str, zone: ZoneInfo, state: State, *, brief: bool) -> Text:
    match name:
        case "time":
            return Text(short(ban.time, zone)[: -3 if brief else None])
        case "address":
            return Text(visible(ban.ip or ban.fid), style="bold")
        case "from":
            return Text(_from(ban), style="cyan")
        case "state":
            return Text(_word(state) if brief else _brief(state, zone), style=_STYLES[state.phase])
        case "users":
            return Text(visible(", ".join(ban.users[:_MATCHES])))
        case _:
            return Text(visible(str(getattr(ban, name))))


def _country(ban: Ban) -> str:
    return f"{ban.country} {name_of(ban.country)}" if ban.country else ""


def _from(ban: Ban) -> str:
    """In a word: the country, or the kind of an address that has none."""
    if ban.country in (None, "XX") and ban.ip and (kind := kind_of(block(ban.ip))):
        return kind
    return ban.country or ("private" if ban.scope == "private" else "")


def _kind(address: str | None) -> str:
    """The kind of a special address or network, in words; empty for all else."""
    return described(block(address)) if address else ""


_WORDS = {
    Phase.UNTIL: "banned",
    Phase.FOR_EVER: "for ever",
    Phase.RAN_OUT: "ran out",
    Phase.LIFTED: "lifted",
    Phase.ENDED: "gone",
    Phase.STOPPED: "stopped",
}


def _word(state: State) -> str:
    return _WORDS[state.phase]


def _brief(state: State, zone: ZoneInfo) -> str:
    if state.at is None:
        return "for ever"
    if state.phase is Phase.STOPPED:
        return str(state.phase)
    word = "until" if state.phase is Phase.UNTIL else _word(state)
    return f"{word} {short(state.at, zone)[:-3]}"


def state_text(state: State, zone: ZoneInfo) -> str:
    """How a ban stands, in words."""
    if state.at is None:
        return str(state.phase)
    joint = {Phase.UNTIL: "until", Phase.ENDED: "since"}.get(state.phase, "at")
    return f"{state.phase} {joint} {short(state.at, zone)}"


def show(
    answer: Shown, zone: ZoneInfo, now: float, screen: Screen, count: int, stopped: Stopped = NONE_STOPPED
) -> None:
    """Print what the ledger has of an address, network, id or text; the newest `count` bans of it."""
    asked = visible(answer.asked)
    if not answer.bans:
        kind = _kind(answer.asked) if answer.kind in ("address", "network") else ""
        screen.print(Text(f"The ledger has no bans of {asked}{f' ({kind})' if kind else ''}."))
        if answer.networks:
            screen.print(Text(), network_lines(answer.networks[0]))
        return
    if answer.kind != "ban":
        states = [state_of(ban, now, stopped) for ban in answer.bans]
        screen.print(_summary(answer, zone, states, screen), Text())
    shown = answer.bans[:count]
    if len(answer.bans) <= _DETAILED:
        for ban in shown:
            screen.print(_details(ban, zone, state_of(ban, now, stopped)), Text())
    else:
        bans(shown, zone, now, screen, stopped)
    if len(shown) < len(answer.bans):
        screen.print(Text(f"\nThe newest {len(shown):,} of {len(answer.bans):,} bans; -n shows more.", style="dim"))


def _summary(answer: Shown, zone: ZoneInfo, states: Sequence[State], screen: Screen) -> Text:
    newest, oldest = answer.bans[0], answer.bans[-1]
    in_force = sum(state.in_force for state in states)
    text = Text(visible(answer.asked), style="bold")
    where = (_kind(answer.asked) if answer.kind in ("address", "network") else "") or _country(newest)
    text.append(f"  {where}" if where else "", style="not bold cyan")
    times = "1 ban" if len(answer.bans) == 1 else f"{len(answer.bans):,} bans"
    text.append(f"\n{times}, {in_force:,} in force now", style="not bold")
    text.append(
        f" {screen.glyphs.dot} first {short(oldest.time, zone)}, last {short(newest.time, zone)}", "not bold dim"
    )
    for title, names in (
        ("jails", [ban.jail for ban in answer.bans]),
        ("servers", [ban.server for ban in answer.bans]),
    ):
        listed = ", ".join(f"{name} ({number:,})" for name, number in Counter(names).most_common(8))
        text.append(f"\n{title:8} {visible(listed)}", style="not bold")
    if answer.networks:
        text.append("\n").append(network_lines(answer.networks[0]))
    if [name for name, _ in answer.values] != [answer.asked]:
        listed = ", ".join(f"{name} ({number:,})" for name, number in sorted(answer.values, key=lambda v: -v[1])[:8])
        more = len(answer.values) - 8
        text.append(f"\n{'banned':8} {visible(listed)}{f' and {more:,} more' if more > 0 else ''}", style="not bold")
    return text


def whois(answer: WhoisAnswer, now: float, screen: Screen) -> None:
    """Print whose network an address is in, and how that is known."""
    network = answer.network
    if network is None:
        screen.print(Text(f"No registry has a network around {visible(answer.asked)}."))
        return
    asn = answer.result.asn if answer.result and answer.result.asn else network.asn
    text = Text(visible(answer.asked), style="bold")
    text.append("\n").append(network_lines(replace(network, asn=asn)))
    country = f"{network.country} {name_of(network.country)}" if network.country else ""
    more = (
        ("country", country),
        ("handle", network.handle or ""),
        ("dates", ", ".join(date for date in (network.registered, network.changed) if date)),
        *(("" if number else "remarks", line) for number, line in enumerate(network.remarks[:_REMARKS])),
    )
    text.append("".join(f"\n{title:8} {visible(value)}" for title, value in more if value), "not bold")
    text.append(f"\n\n{_source(answer, network, now)}", "not bold dim")
    screen.print(text)


def _source(answer: WhoisAnswer, network: Network, now: float) -> str:
    result = answer.result
    by = f"by {visible(network.registry or network.source)} ({network.source})"
    if answer.standing == AROUND or result is None:
        age = duration(max(0, round(now - network.fetched)))
        return f"{by}, {age} ago; nobody asked about this part of the network yet"
    age = duration(max(0, round(now - result.asked)))
    return f"{by}, {age} ago, {answer.standing} for {answer.cell.cidr}"


def network_lines(network: Network) -> Text:
    """Whose a network is, and who takes complaints."""
    named = " ".join(word for word in (", ".join(network.cidrs[:4]), network.name or "") if word)
    asn = f"AS{network.asn}" if network.asn is not None else ""
    lines = (("network", named), ("org", network.org or ""), ("as", asn), ("abuse", network.abuse or ""))
    text = "\n".join(f"{title:8} {visible(value)}" for title, value in lines if value)
    return Text(text, style="not bold")


def _details(ban: Ban, zone: ZoneInfo, state: State) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text("ban"), Text(ban.id, style="bold"))
    grid.add_row(Text("state"), Text(state_text(state, zone), style=_STYLES[state.phase]))
    for name, value in _known(ban, zone, state):
        grid.add_row(Text(name), Text(visible(value)))
    for number, line in enumerate(ban.matches[:_MATCHES]):
        grid.add_row(Text("" if number else "matches"), Text(visible(line)))
    if len(ban.matches) > _MATCHES:
        grid.add_row(Text(), Text(f"and {len(ban.matches) - _MATCHES:,} more (--json has them all)"))
    return grid


def _known(ban: Ban, zone: ZoneInfo, state: State) -> list[tuple[str, str]]:
    source = f" ({ban.country_from})" if ban.country_from else ""
    lines = [
        ("time", short(ban.time, zone)),
        ("server", ban.server),
        ("jail", ban.jail),
        ("address", ban.ip or ""),
        ("id", ban.fid if ban.fid != ban.ip else ""),
        ("kind", _kind(ban.ip)),
        ("country", f"{_country(ban)}{source}" if ban.country else ""),
        ("located", f"{ban.located} {name_of(ban.located)} ({ban.located_from})" if ban.located else ""),
        ("network", f"{ban.network} ({ban.whois})" if ban.network and ban.whois else ban.network or ""),
        ("org", ban.org or ""),
        ("as", f"AS{ban.asn}" if ban.asn is not None else ""),
        ("failures", str(ban.failures)),
        ("bantime", duration(ban.bantime)),
        ("bancount", str(ban.bancount)),
        ("users", ", ".join(ban.users[:_MATCHES])),
        ("origin", ban.origin),
        ("ended", (ban.ended_because or "") if state.phase is Phase.ENDED else ""),
    ]
    return [(name, value) for name, value in lines if value]
