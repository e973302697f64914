"""The status of a ledger for people, for programs, and as one line for monitoring."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import to_builtins
from msgspec.structs import asdict
from rich.table import Column, Table
from rich.text import Text

from banledger.ledger.recorder_health import RecorderHealth, RecorderState
from banledger.ledger.source import RUNNING, STOPPED
from banledger.report.formats.base import Presentation
from banledger.report.formats.escape import many, visible
from banledger.report.formats.json import gap_object
from banledger.report.formats.moment import rough, short
from banledger.report.formats.screen import Screen
from banledger.report.formats.size import shown_bytes
from banledger.report.status import LedgerStatus, Level, lost

_NAMED = 6
_GAP = 2
_WORDS = {
    RecorderState.RECORDING: ("recording", "green"),
    RecorderState.WAITING: ("waiting", "yellow"),
    RecorderState.SILENT: ("silent", "bold red"),
    RecorderState.STOPPED: ("stopped", "bold red"),
    RecorderState.REPLACED: ("replaced", "dim"),
    RecorderState.AHEAD: ("wrong clock", "yellow"),
}
_STYLES = {Level.CRITICAL: "bold red", Level.WARNING: "yellow", Level.UNKNOWN: "yellow"}


def status(answer: LedgerStatus, view: Presentation, screen: Screen) -> None:
    """Print the status."""
    screen.print(_heading(answer, screen), _totals(answer, screen), Text())
    if answer.recorders:
        screen.print(_recorders(answer, view.zone, screen), Text())
    screen.print(_details(answer, view, screen), Text())
    for finding in answer.findings:
        screen.print(Text(f"{finding.level.name.capitalize()}: {finding.what}", style=_STYLES[finding.level]))
    if not answer.findings:
        screen.print(Text("Nothing is wrong.", style="green"))


def _heading(answer: LedgerStatus, screen: Screen) -> Text:
    """Whether bans are recorded, and the last one."""
    counted = [one for one in answer.recorders if one.state is not RecorderState.REPLACED]
    at_work = [one for one in counted if not one.state.gone and one.state is not RecorderState.WAITING]
    if not counted:
        text = Text("Unknown whether bans are recorded", style="bold yellow")
    elif not at_work:
        text = Text("Not recording", style="bold red")
    elif len(at_work) < len(counted):
        text = Text(f"Recording on {len(at_work):,} of {len(counted):,}", style="bold yellow")
    else:
        text = Text("Recording", style="bold green")
    last = _since_last_ban_s(answer, counted)
    said = "" if last is None else f" {screen.glyphs.dot} last ban {rough(last)} ago"
    return text.append(said, style="not bold default")


def _since_last_ban_s(answer: LedgerStatus, recorders: Iterable[RecorderHealth]) -> float | None:
    """The seconds since the last ban, as these recorders tell, or else the ledger; None: there is none."""
    bans = [_ago(one) for one in recorders if one.beat.last_ban]
    if not bans and answer.newest:
        bans = [max(0.0, answer.now - answer.newest)]
    return min(bans, default=None)


def _ago(one: RecorderHealth) -> float:
    """The seconds since a recorder's last ban."""
    return max(0.0, one.beat.written - one.beat.last_ban + one.age_s)


def _totals(answer: LedgerStatus, screen: Screen) -> Text:
    parts = [many(answer.bans, "ban"), f"{answer.in_force:,} in force now", *_store(answer)]
    return Text(f"Ledger {visible(answer.store.where)}\n" + f" {screen.glyphs.dot} ".join(parts))


def _store(answer: LedgerStatus) -> list[str]:
    store = answer.store
    program, size = visible(store.program), None if store.size is None else shown_bytes(store.size)
    if store.of_server:
        return [program + (f" (the whole server uses {size})" if size else "")] if program else []
    return [f"{size} ({program})" if size else program]


def _recorders(answer: LedgerStatus, zone: ZoneInfo, screen: Screen) -> Table:
    """One line for each recorder."""
    rows = [_row(one, answer, zone) for one in answer.recorders]
    heads = ("recorder", "state", "since", "last ban", "delay", "waiting")
    widths = [max(len(head), *(row[at].cell_len for row in rows)) for at, head in enumerate(heads)]
    widths[0] = max(len(heads[0]), min(widths[0], screen.width - sum(widths[1:]) - _GAP * (len(heads) - 1)))
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.show_header = True
    for head, width in zip(heads, widths, strict=True):
        right = head in heads[3:]
        grid.columns.append(
            Column(
                Text(head, "dim"),
                justify="right" if right else "left",
                width=width,
                no_wrap=True,
                overflow=screen.overflow,
                _index=len(grid.columns),
            )
        )
    for row in rows:
        grid.add_row(*row)
    return grid


def _row(one: RecorderHealth, answer: LedgerStatus, zone: ZoneInfo) -> list[Text]:
    beat = one.beat
    word, style = _WORDS[one.state]
    since = {
        RecorderState.RECORDING: beat.since,
        RecorderState.WAITING: beat.waits_since,
    }.get(one.state, beat.stopped or beat.written)
    return [
        Text(visible(beat.host), style="bold"),
        Text(word, style=style),
        Text(short(min(since, answer.now), zone)[:-3]),
        Text(_last_ban(one, answer)),
        Text("" if beat.delay_s is None else _delay(beat.delay_s)),
        Text("?" if beat.unseen or (one.state.gone and not beat.waiting) else f"{beat.waiting:,}"),
    ]


def _last_ban(one: RecorderHealth, answer: LedgerStatus) -> str:
    """A recorder's last ban. If its heartbeat names none yet, the newest of the ledger is that of the only recorder."""
    if one.beat.last_ban or len(answer.recorders) == 1:
        last = _since_last_ban_s(answer, [one])
        return "none" if last is None else f"{rough(last)} ago"
    return "?" if answer.bans else "none"


def _delay(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else rough(seconds)


def _details(answer: LedgerStatus, view: Presentation, screen: Screen) -> Table:
    """What else there is, a line each."""
    lines = {"jails": _jails(answer), "whois": _whois(answer, view), "lost": _lost(answer), "set aside": _aside(answer)}
    width = max(map(len, lines))
    grid = Table.grid(
        Column(width=width, style="dim"), Column(width=screen.width - width - _GAP), padding=(0, _GAP, 0, 0)
    )
    for label, text in lines.items():
        grid.add_row(label, Text(text))
    return grid


def _jails(answer: LedgerStatus) -> str:
    running = sum(one.state == RUNNING for one in answer.sources)
    stopped = sum(one.state == STOPPED for one in answer.sources)
    text = f"{running:,} recorded" + (f", {stopped:,} stopped" if stopped else "")
    for one in (answer.unrecorded or ())[:_NAMED]:
        text += f"; not recorded: {visible(one.jail)} ({one.banned:,} banned now, {one.total:,} since fail2ban started)"
    return text


def _whois(answer: LedgerStatus, view: Presentation) -> str:
    beats = [one.beat for one in answer.alive]
    if beats and all(beat.whois == "disabled" for beat in beats):
        return "disabled"
    text = f"{many(answer.waiting, 'ban')} {'waits' if answer.waiting == 1 else 'wait'}"
    for beat in beats:
        for one in beat.registries[:_NAMED]:
            text += f"; {visible(one.name)}: {visible(one.why, 80)}, since {short(one.since, view.zone)[:-3]}"
    return text


def _lost(answer: LedgerStatus) -> str:
    return f"{lost(answer.gaps)} in the last week" if answer.gaps else "nothing in the last week"


def _aside(answer: LedgerStatus) -> str:
    rejected = sum(one.beat.rejected for one in answer.recorders)
    parts = [f"{many(answer.aside, 'line')} about damaged bans"] if answer.aside else []
    parts += [f"{many(rejected, 'invalid line')} (rejected, in the spool)"] if rejected else []
    return ", ".join(parts) or "nothing"


def status_object(answer: LedgerStatus) -> dict[str, Any]:
    """The status for JSON."""
    store, unrecorded = answer.store, answer.unrecorded
    return {
        "state": answer.level.name.lower(),
        "wrong": [{"level": one.level.name.lower(), "what": one.what} for one in answer.findings],
        "store": {
            "name": visible(store.where), "program": store.program,
            "bytes": store.size, "bytes_of_whole_server": store.of_server,
        },
        "bans": answer.bans,
        "in_force": answer.in_force,
        "oldest_s": round(answer.oldest_s, 1),
        "recorders": [
            {"state": str(one.state), "age_s": round(one.age_s, 1)}
            | {name: to_builtins(getattr(one.beat, name)) for name in one.beat.__struct_fields__}
            for one in answer.recorders
        ],
        "jails": [
            {"server": one.server, "jail": one.jail, "state": one.state or None, "since": one.since}
            for one in answer.sources
        ],
        "unrecorded_jails": None if unrecorded is None else list(map(asdict, unrecorded)),
        "whois_waiting": answer.waiting,
        "gaps": [gap_object(gap) for gap in answer.gaps],
        "set_aside": answer.aside,
    }  # fmt: skip


def check_line(answer: LedgerStatus) -> str:
    """One line as the Monitoring Plugins guidelines want it: what, `|`, performance data."""
    what = "; ".join(finding.what for finding in answer.findings) or _fine(answer)
    return f"{_said(answer.level, what)} | {_performance(answer)}"


def failed_line(level: Level, what: str) -> str:
    """The line of a check that could not be made."""
    return _said(level, visible(what))


def _said(level: Level, what: str) -> str:
    return f"BANLEDGER {level.name} - {what.replace('|', '/')}"


def _fine(answer: LedgerStatus) -> str:
    hosts = ", ".join(visible(one.beat.host) for one in answer.alive[:_NAMED])
    last = _since_last_ban_s(answer, answer.alive)
    return f"recording on {hosts}" + ("" if last is None else f", last ban {rough(last)} ago")


def _waiting(answer: LedgerStatus) -> str:
    """The number of lines that wait; `U` is unknown in the guidelines."""
    beats = [one.beat for one in answer.recorders]
    return "U" if any(beat.unseen for beat in beats) else str(sum(beat.waiting for beat in beats))


def _performance(answer: LedgerStatus) -> str:
    limits, alive = answer.limits, answer.alive
    delays = [one.beat.delay_s for one in alive if one.beat.delay_s is not None]
    parts = [
        f"oldest={answer.oldest_s:.0f}s;{limits.warning_s:.0f};{limits.critical_s:.0f};0",
        f"waiting={_waiting(answer)};;;0",
        *([f"delay={max(delays):.3f}s;;;0"] if delays else []),
        f"bans={answer.bans}c",
        f"in_force={answer.in_force};;;0",
        f"whois={answer.waiting};;;0",
        f"recorders={len(alive)};;;0",
    ]
    return " ".join(parts)
