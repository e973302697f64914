"""Bans one by one for people at a terminal: `bans` and `show`."""

from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from banledger.geo.countries import name_of
from banledger.ledger.ban import IMPORTED, Ban
from banledger.ledger.network import Network
from banledger.net.prefix import block
from banledger.net.special import described, kind_of
from banledger.report.answers import Shown
from banledger.report.formats.base import Presentation
from banledger.report.formats.escape import many, visible
from banledger.report.formats.moment import duration, short
from banledger.report.formats.screen import Screen
from banledger.report.show import Phase, State, state_of
from banledger.whois.stored import AROUND, WhoisAnswer

_REMARKS = 8
_NAMED = 8  # the most jails, servers and addresses that a summary lists
_MATCHES = 100
_DETAILED = 5  # up to this number, bans are shown with all fields
_LOOKS = {
    Phase.UNTIL: ("banned", "red"),
    Phase.FOR_EVER: ("for ever", "bold red"),
    Phase.RAN_OUT: ("ran out", "dim"),
    Phase.LIFTED: ("lifted", "green"),
    Phase.ENDED: ("gone", "green"),
    Phase.STOPPED: ("stopped", "yellow"),
}
"""The word and style of each state of a ban."""


def newest(answer: Sequence[Ban], view: Presentation, screen: Screen) -> None:
    """Print the newest bans, as many as are to be listed, and whether there are more."""
    shown = answer[: view.count]
    bans(shown, view, screen)
    if len(shown) < len(answer):
        screen.print(Text(f"\nThe newest {many(len(shown), 'ban')}; -n shows more.", style="dim"))


def bans(answer: Sequence[Ban], view: Presentation, screen: Screen) -> None:
    """Print one line per ban, with as many columns as the screen has room for."""
    if not answer:
        screen.print(Text("No bans."))
        return
    table, widths = _laid_out(answer, view, screen.width)
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.show_header = True
    for name, width in widths.items():
        right: JustifyMethod = "right" if name == "failures" else "left"
        grid.add_column(Text(name, "dim"), justify=right, no_wrap=True, overflow=screen.overflow, width=width)
    for row in zip(*(table[name] for name in widths), strict=True):
        grid.add_row(*row)
    screen.print(grid)


_COLUMNS = ("time", "server", "jail", "address", "from", "failures", "state", "users", "id")
_WIDEST = {"address": 43, "jail": 24, "server": 20, "users": 30}
_BY_WEIGHT = ("time", "address", "jail", "state", "from", "id", "server", "failures", "users")
"""Columns by importance: each is shown if there is room and it says something."""
_GAP = 2
_Columns = dict[str, list[Text]]


def _laid_out(answer: Sequence[Ban], view: Presentation, room: int) -> tuple[_Columns, dict[str, int]]:
    """The cells, and the width of each column to show. Times are shortened if the id needs the room.

    The id is the argument of `show` for all details of a ban.
    """
    for brief in (False, True):
        cells = {name: [_cell(ban, name, view, brief=brief) for ban in answer] for name in _COLUMNS}
        widths = _fitting(cells, room)
        if "id" in widths:
            break
    return cells, widths


def _fitting(table: _Columns, room: int) -> dict[str, int]:
    """The columns to show, with their width; the address is cut if there is no room for it.

    A column without any value is left out, and so is the server if all bans have the same.
    """
    left = room + _GAP
    widths: dict[str, int] = {}
    for name in _BY_WEIGHT:
        cells = table[name]
        width = min(max(len(name), *(cell.cell_len for cell in cells)), _WIDEST.get(name, room))
        if name == "address":
            width = max(len(name), min(width, left - _GAP))
        values = {cell.plain for cell in cells}
        if width + _GAP > left or values == {""} or (name == "server" and len(values) == 1):
            continue
        widths[name] = width
        left -= width + _GAP
    return {name: widths[name] for name in _COLUMNS if name in widths}


def _cell(ban: Ban, name: str, view: Presentation, *, brief: bool) -> Text:
    match name:
        case "time":
            return Text(short(ban.time, view.zone)[: -3 if brief else None])
        case "address":
            return Text(visible(ban.ip or ban.fid), style="bold")
        case "from":
            return Text(_from(ban), style="cyan")
        case "state":
            state = state_of(ban, view.now, view.stopped)
            word, style = _LOOKS[state.phase]
            return Text(word if brief else _brief(state, view.zone), style)
        case "users":
            return Text(visible(", ".join(ban.users[:_MATCHES])))
        case _:
            return Text(visible(str(getattr(ban, name))))


def _country(ban: Ban) -> str:
    return f"{ban.country} {name_of(ban.country)}" if ban.country else ""


def _from(ban: Ban) -> str:
    """The country, or the kind of an address without country, in one word."""
    if ban.country in (None, "XX") and ban.ip and (kind := kind_of(block(ban.ip))):
        return kind
    return ban.country or ("private" if ban.scope == "private" else "")


def _kind(address: str | None) -> str:
    """The kind of a special address or network, in words; empty for any other."""
    return described(block(address)) if address else ""


def _brief(state: State, zone: ZoneInfo) -> str:
    if state.at is None:
        return _LOOKS[state.phase][0]
    if state.phase is Phase.STOPPED:
        return str(state.phase)
    word = "until" if state.phase is Phase.UNTIL else _LOOKS[state.phase][0]
    return f"{word} {short(state.at, zone)[:-3]}"


def state_text(state: State, zone: ZoneInfo) -> str:
    """The state of a ban, in words."""
    if state.at is None:
        return str(state.phase)
    joint = {Phase.UNTIL: "until", Phase.ENDED: "since"}.get(state.phase, "at")
    return f"{state.phase} {joint} {short(state.at, zone)}"


def show(answer: Shown, view: Presentation, screen: Screen) -> None:
    """Print what the ledger has about an address, network, id or text; its newest bans."""
    if answer.forgotten is not None:
        when = short(answer.forgotten, view.zone)
        what = f"was forgotten {when}: the ledger has only its id"
        if answer.renamed:
            what = f"is one of server {visible(repr(answer.renamed))} since {when}, and has another id there"
        screen.print(Text(f"The ban {visible(answer.asked)} {what}."))
        return
    if not answer.bans:
        kind = _kind(answer.asked) if answer.kind in ("address", "network") else ""
        screen.print(Text(f"The ledger has no bans of {visible(answer.asked)}{f' ({kind})' if kind else ''}."))
        if answer.networks:
            screen.print(Text(), network_lines(answer.networks[0]))
        return
    if answer.kind != "ban":
        screen.print(_summary(answer, view, screen), Text())
    shown = answer.bans[: view.count]
    if len(answer.bans) <= _DETAILED:
        for number, ban in enumerate(shown):
            screen.print(*([Text()] if number else []), _details(ban, view))
    else:
        bans(shown, view, screen)
    if len(shown) < len(answer.bans):
        screen.print(Text(f"\nThe newest {len(shown):,} of {len(answer.bans):,} bans; -n shows more.", style="dim"))


def _summary(answer: Shown, view: Presentation, screen: Screen) -> Text:
    newest, oldest = (short(answer.bans[number].time, view.zone) for number in (0, -1))
    in_force = sum(state_of(ban, view.now, view.stopped).in_force for ban in answer.bans)
    text = Text(visible(answer.asked), style="bold")
    where = (_kind(answer.asked) if answer.kind in ("address", "network") else "") or _country(answer.bans[0])
    text.append(f"  {where}" if where else "", style="not bold cyan")
    text.append(f"\n{many(len(answer.bans), 'ban')}, {in_force:,} in force now", style="not bold")
    when = newest if oldest == newest else f"first {oldest}, last {newest}"
    text.append(f" {screen.glyphs.dot} {when}", "not bold dim")
    for name in ("jail", "server"):
        listed = _listed(Counter(getattr(ban, name) for ban in answer.bans))
        text.append(f"\n{name + 's':8} {listed}", style="not bold")
    if answer.networks:
        text.append("\n").append(network_lines(answer.networks[0]))
    if [name for name, _ in answer.values] != [answer.asked]:
        more = len(answer.values) - _NAMED
        listed = _listed(Counter(dict(answer.values)))
        text.append(f"\n{'banned':8} {listed}{f' and {more:,} more' if more > 0 else ''}", style="not bold")
    return text


def _listed(counter: Counter[str]) -> str:
    """The values with most bans."""
    return visible(", ".join(f"{name} ({number:,})" for name, number in counter.most_common(_NAMED)))


def whois(answer: WhoisAnswer, view: Presentation, screen: Screen) -> None:
    """Print the network of an address, and how it is known."""
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
    text.append(f"\n\n{_source(answer, network, view.now)}", "not bold dim")
    screen.print(text)


def _source(answer: WhoisAnswer, network: Network, now: float) -> str:
    result = answer.result
    by = f"by {visible(network.registry or network.source)} ({network.source})"
    if answer.standing == AROUND or result is None:
        age = duration(max(0, round(now - network.fetched)))
        return f"{by}, {age} ago; this part of the network was not looked up yet"
    age = duration(max(0, round(now - result.asked)))
    return f"{by}, {age} ago, {answer.standing} for {answer.cell.cidr}"


def network_lines(network: Network) -> Text:
    """A network's name, owner, system and abuse mailbox."""
    named = " ".join(word for word in (", ".join(network.cidrs[:4]), network.name or "") if word)
    asn = f"AS{network.asn}" if network.asn is not None else ""
    lines = (("network", named), ("org", network.org or ""), ("as", asn), ("abuse", network.abuse or ""))
    text = "\n".join(f"{title:8} {visible(value)}" for title, value in lines if value)
    return Text(text, style="not bold")


def _details(ban: Ban, view: Presentation) -> Table:
    zone, state = view.zone, state_of(ban, view.now, view.stopped)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text("ban"), Text(ban.id, style="bold"))
    grid.add_row(Text("state"), Text(state_text(state, zone), style=_LOOKS[state.phase][1]))
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
        *_of_ticket(ban),
        ("users", ", ".join(ban.users[:_MATCHES])),
        ("origin", ban.origin),
        ("ended", (ban.ended_because or "") if state.phase is Phase.ENDED else ""),
    ]
    return [(name, value) for name, value in lines if value]


def _of_ticket(ban: Ban) -> list[tuple[str, str]]:
    """What fail2ban's ticket says. Of an imported ban it may be unknown: then it is 0."""
    lines = (
        ("failures", ban.failures, str(ban.failures)),
        ("bantime", ban.bantime, duration(ban.bantime)),
        ("bancount", ban.bancount, str(ban.bancount)),
    )
    return [(name, shown) for name, value, shown in lines if value or ban.origin != IMPORTED]
