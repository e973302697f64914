"""Events: one typed value per line of the spool.

The lines and their fields are described in `docs/spool-format.md`. Decoding is typed and total: `decode` returns
an event or raises `Undecodable` with the reason, never anything else.
"""

import json
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

VERSION = 1
"""The newest version of a spooled line that this package understands."""

Timestamp: TypeAlias = Annotated[float, Meta(ge=1, lt=32_503_680_000)]
"""UTC epoch seconds, before the year 3000."""
MomentOrZero: TypeAlias = Annotated[float, Meta(ge=0, lt=32_503_680_000)]
"""UTC epoch seconds, before the year 3000; 0: unknown."""
TICKETS_END = 3_124_224_000
"""2069-01-01, UTC epoch seconds. Ids of bans have two digits of the year: tickets are from 1970 to 2068."""
TicketTime: TypeAlias = Annotated[float, Meta(ge=1, le=TICKETS_END - 1)]
"""UTC epoch seconds of a ticket."""
Whole: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Seconds: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Label: TypeAlias = Annotated[str, Meta(min_length=1)]
Word: TypeAlias = Annotated[str, Meta(max_length=256)]


class Line(Struct, frozen=True, gc=False, kw_only=True):
    """Fields of every line.

    seen    when its writer saw the event, by the wall clock (UTC epoch seconds)
    seq     the writer's line number
    at      the same moment on the writer's own timeline, which clock steps don't change; 0: the same as `seen`
    writer  the writer's name, from the line or the segment's name; empty: unknown
    """

    v: int
    seen: Timestamp
    seq: Whole
    server: Label
    jail: Label
    at: MomentOrZero = 0.0
    writer: str = ""

    @property
    def order(self) -> float:
        """Place of the event among others, in seconds. Compare this, never `seen`."""
        return self.at or self.seen


class TicketLine(Line, frozen=True, tag_field="kind"):
    """A line about one ticket of fail2ban.

    `fid` is what fail2ban banned, `ip` the offender's address if that differs, `time` the ticket's own time
    (its last failure), `bantime` seconds (negative: for ever), `bancount` how often fail2ban knows it.
    """

    fid: Label
    time: TicketTime
    ip: str = ""
    failures: Whole = 0
    bantime: Seconds = 0
    bancount: Whole = 0
    restored: int = 0


class BanLine(TicketLine, frozen=True, tag="ban"):
    """fail2ban banned, or (`restored`) banned again what its database held when it started.

    `origin` is empty for bans that the action saw itself, `import` for bans of another record of the past;
    `country` is the country in that record. `logged` is set if that record is a log, which names no ticket: it is when
    the Ban line was logged. Then `found` is the second of the last failure, `first` that of the first one if they
    differ, `unbanned` when the ban was lifted (0: unknown). `again`: an earlier line of the same
    import tells of the same ban. `revive`: to be recorded even if the ban was forgotten.
    """

    users: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    origin: str = ""
    country: str = ""
    logged: Annotated[float, Meta(ge=0, le=TICKETS_END - 1)] = 0.0
    found: Annotated[int, Meta(ge=0, lt=TICKETS_END)] = 0
    first: Annotated[int, Meta(ge=0, lt=TICKETS_END)] = 0
    unbanned: MomentOrZero = 0.0
    again: int = 0
    revive: int = 0


class ProlongLine(TicketLine, frozen=True, tag="prolong"):
    """fail2ban made the ban longer."""


class UnbanLine(TicketLine, frozen=True, tag="unban"):
    """fail2ban lifted the ban: it ran out, or was lifted by hand."""


class StartLine(Line, frozen=True, tag_field="kind", tag="start"):
    """The action begins to watch its jail. `version`: fail2ban's; `boot`: id of the boot of the machine.

    `clock`: seconds of the clock that runs since then, read at the same moment as `seen`; 0: unknown.
    `process`: which fail2ban of that boot, a dot, its process id. A later process shows that an earlier one has ended.
    """

    version: Word = ""
    boot: Word = ""
    clock: Annotated[float, Meta(ge=0, lt=2**33)] = 0.0
    process: Word = ""


class StopLine(Line, frozen=True, tag_field="kind", tag="stop"):
    """The action no longer watches its jail: the jail is gone, or (`left`) continues without the action."""

    left: int = 0


class HeldLine(Line, frozen=True, tag_field="kind", tag="held"):
    """A part of a snapshot: what fail2ban held at one moment.

    as_of  that moment, on the timeline of `at`; later events are not affected
    part   of the jail's bans those whose `fid` has this remainder: CRC-32 of its UTF-8, divided by `parts`
    bans   exactly those that were in force: (fid, ticket's time in whole seconds, bantime, bancount)
    """

    as_of: Timestamp
    part: Whole = 0
    parts: Annotated[int, Meta(ge=1, le=2**31)] = 1
    bans: Annotated[
        tuple[tuple[Label, Annotated[int, Meta(ge=1, lt=TICKETS_END)], Seconds, Whole], ...],
        Meta(max_length=1 << 15),
    ] = ()


class GapLine(Line, frozen=True, tag_field="kind", tag="gap"):
    """The writer lost events between `since` and `seen`: the spool could not be written."""

    since: Timestamp
    bans: Whole = 0
    others: Whole = 0
    reason: str = ""


class NetworkLine(Line, frozen=True, tag_field="kind", tag="network"):
    """A registry's record of a network, from a command or another record of the past. See `network.Network`.

    `about` is the address that was looked up, empty if unknown; `asn` belongs to that address. `raw` is the whole
    answer, packed by `network.packed`. `server` and `jail` name the writer of the line.
    """

    cidrs: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=64)]
    source: Word
    registry: Word
    fetched: Timestamp
    about: str = ""
    handle: Word = ""
    name: Word = ""
    country: Word = ""
    org: Word = ""
    abuse: Word = ""
    asn: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    registered: Word = ""
    changed: Word = ""
    remarks: Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(max_length=64)] = ()
    raw: str = ""


class ImportLine(Line, frozen=True, tag_field="kind", tag="import"):
    """The last line of an import. `bans`, `networks`: the number of its lines of that kind; `lines`: of lines read.

    `server` and `jail` name the writer of the line, as in NetworkLine.
    """

    bans: Whole
    lines: Whole
    networks: Whole = 0


class ForgetLine(Line, frozen=True, tag_field="kind", tag="forget"):
    """A request to forget bans, or a part of them. `server` and `jail` name the writer of the line, as in NetworkLine.

    what    which bans: `ip`, `user` or `server`, those with this `value`; `bans` or `matches`, all of them
    before  only bans whose time is before this moment, UTC epoch seconds
    """

    what: Literal["ip", "user", "server", "bans", "matches"]
    before: Timestamp
    value: str = ""


class Unknown(Line, frozen=True):
    """A line of a kind that a later action writes under a version known here. Only its `seq` is used."""

    kind: Word


Event: TypeAlias = (
    BanLine
    | ProlongLine
    | UnbanLine
    | StartLine
    | StopLine
    | HeldLine
    | GapLine
    | NetworkLine
    | ImportLine
    | ForgetLine
)


def bears_label(event: Line) -> bool:
    """Whether a line comes from a fail2ban of this machine, so that its server label belongs to this machine.

    An import has the label of a server of the past; a network belongs to no server.
    """
    if isinstance(event, BanLine):
        return not event.origin
    return not isinstance(event, (NetworkLine, ImportLine, ForgetLine))


_KINDS = frozenset(event.__struct_config__.tag for event in get_args(Event))


class Undecodable(Exception):
    """This line is not an event. `newer`: it has a later version; else it is invalid."""

    def __init__(self, reason: str, *, newer: bool = False) -> None:
        super().__init__(reason)
        self.newer = newer


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def decode(line: bytes) -> Event | Unknown:
    """Decode one line (without its newline) into an event; of a line of an unknown kind, its common fields.

    Raises `Undecodable`.
    """
    event: Event | Unknown
    try:
        event = _events.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        event = _decode_odd(line, error)
    if event.v > VERSION:
        raise Undecodable(f"version {event.v}", newer=True)
    return event


def _decode_odd(line: bytes, error: Exception) -> Event | Unknown:
    """Decode lines that the strict decoder refuses: unknown kinds, and text that is not UTF-8."""
    try:
        loose = json.loads(line.decode("utf-8", "surrogateescape"), parse_constant=_no_constant)
        if isinstance(loose, dict) and isinstance(loose.get("v"), int) and loose["v"] > VERSION:
            raise Undecodable(f"version {loose['v']}", newer=True)
        plain = _without_surrogates(loose)
        kind = plain.get("kind") if isinstance(plain, dict) else None
        unknown = isinstance(kind, str) and kind not in _KINDS
        event: Event | Unknown = msgspec.convert(plain, Unknown if unknown else Event)
        return event
    except (ValueError, RecursionError):
        raise Undecodable(str(error)) from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value
