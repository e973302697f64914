"""Sources: the state of one jail of one server, and its writers. Pure: no store, no clock.

A *writer* is one action object, from its start to its stop; a *source* is one jail of one server, with one writer after
another. A line's place in time is on its writer's timeline (`Line.order`), which clock steps don't affect. If a
writer's timeline begins before the end of an earlier one's, it is shifted: writers of the same boot by the clock since
boot, others so that the later one follows. So the orders of all lines of a source can be compared.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Annotated, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from banledger.ledger.hash_codec import SHORT, TEXT, WORD, Field, Form, HashCodec, one_of, optional
from banledger.spool.events import HeldLine, StartLine, StopLine
from banledger.stores import fields as read

RUNNING, STOPPED, LEFT = "running", "stopped", "left"
_STATES = frozenset((RUNNING, STOPPED, LEFT))

LAG_S = 60.0
"""`latest` is saved this often, and at every stop; in the hash it may lag by this much."""

_STEP_S = 1.0  # timelines of one boot that differ by less are not shifted
_PAST = 512  # writers remembered: this many restarts may be read again

Name: TypeAlias = tuple[str, str]
"""Server label and jail."""


def _read_past(fields: Mapping[str, str], name: str) -> str:
    """Read the earlier writers, each with an optional shift."""
    text = read.text(fields, name, 64 * 1024) or ""
    for one in text.split():
        writer, _, shift = one.partition(":")
        read.word({name: writer}, name)
        read.moment({name: shift or "0"}, name, -read.YEAR_3000)
    return text


_WORD = optional(WORD, "")
_ON_TIMELINE = optional(Form(partial(read.moment, least=-read.YEAR_3000), str), 0.0)


class Source(Struct, frozen=True):
    """One jail of one server, and the table of its hash's fields. Absent fields are empty or 0.

    `since` is by the wall clock, other moments are on the source's timeline. `state` is empty if no start was seen.
    """

    server: Annotated[str, Field(TEXT, "label of the server")]
    jail: Annotated[str, Field(TEXT, "jail")]
    state: Annotated[
        str,
        Field(
            optional(one_of(_STATES), ""),
            "`running`; `stopped` (fail2ban or the jail ended: none of its bans is in force); `left` (the jail"
            " continues without the action)",
        ),
    ] = ""
    since: Annotated[float, Field(_ON_TIMELINE, "when the state began, UTC epoch seconds")] = 0.0
    version: Annotated[str, Field(optional(SHORT, ""), "fail2ban's version")] = ""
    writer: Annotated[str, Field(_WORD, "the current or last writer (see spool-format.md)")] = ""
    past: Annotated[
        str,
        Field(
            optional(Form(_read_past), ""),
            "earlier writers, newest last, with their shifts; the last 512",
        ),
    ] = ""
    rival: Annotated[str, Field(_WORD, "a second writer at the same time; snapshots don't count then")] = ""
    begun: Annotated[
        float,
        Field(_ON_TIMELINE, "since when the writer is the only one, on the source's timeline: usually its start"),
    ] = 0.0
    latest: Annotated[float, Field(_ON_TIMELINE, "the last event, on the source's timeline; may lag by a minute")] = 0.0
    shift: Annotated[
        float,
        Field(
            _ON_TIMELINE, "seconds by which the writer's timeline is shifted, so that it follows the earlier writers"
        ),
    ] = 0.0
    boot: Annotated[str, Field(_WORD, "id of the machine's boot")] = ""
    epoch: Annotated[float, Field(_ON_TIMELINE, "zero of that boot's clock on the timeline")] = 0.0
    process: Annotated[
        str, Field(_WORD, "the writer's process, from its start: identity of the fail2ban, and process id")
    ] = ""

    @property
    def shifts(self) -> dict[str, float]:
        """The shift of each remembered writer."""
        past = _shifts(self.past)
        return past | {self.writer: self.shift} if self.writer else past


@lru_cache(maxsize=64)
def _shifts(past: str) -> dict[str, float]:
    """Return the shift of each writer in `past`. The result is shared: don't change it."""
    pairs = (word.partition(":") for word in past.split())
    return {writer: float(shift or 0.0) for writer, _, shift in pairs}


_CODEC = HashCodec(Source)
FIELDS = _CODEC.docs
"""The fields of a source's hash, and what each holds. Absent: empty or 0."""


def from_hash(fields: dict[str, str], name: Name) -> Source:
    """Return the source of a hash; if the hash is damaged, an empty source."""
    try:
        return parsed(fields, name)
    except read.Damaged:
        return Source(*name)


def parsed(fields: dict[str, str], name: Name) -> Source:
    """Return the source of a hash. Raises `fields.Damaged`, a ValueError."""
    if read.UNREADABLE in fields:
        raise read.Damaged("", fields[read.UNREADABLE])
    for part, text in zip(("server", "jail"), name, strict=True):
        if fields.get(part, text) != text:
            raise read.Damaged(part, "belongs to another source")
    return Source(*_CODEC.values(fields | {"server": name[0], "jail": name[1]}))


def to_hash(source: Source) -> dict[str, str]:
    """Return the source's hash."""
    return _CODEC.to_hash(source)


def started(source: Source, line: StartLine) -> Source:
    """Return the source with a new writer; itself if the line was read before."""
    known = source.shifts
    if line.writer in known and (line.writer != source.writer or line.order + source.shift <= source.latest):
        return source
    if (
        _same_boot(source, line) and line.clock < source.begun - source.epoch
    ):  # an earlier writer, read late: it does not take over
        return replace(source, past=_past({line.writer: _boot_shift(source, line)} | known, source.writer))
    shift = _shift(source, line)
    order = line.order + shift
    return replace(
        source,
        state=RUNNING,
        since=line.seen,
        version=line.version,
        writer=line.writer,
        past=_past(known, line.writer),
        rival="",
        begun=order,
        latest=order,
        shift=shift,
        boot=line.boot,
        epoch=order - line.clock if line.clock else 0.0,
        process=line.process,
    )


def followed(source: Source, writer: str, order: float, seen: float) -> Source:
    """Return the source with a writer whose start was lost, from its line at `order` and `seen`."""
    past = _past(source.shifts, writer)
    begun = {"begun": order, "latest": order, "shift": 0.0, "boot": "", "epoch": 0.0, "process": ""}
    return replace(source, state=RUNNING, since=seen, writer=writer, past=past, rival="", **begun)


def resumed(source: Source, writer: str, order: float, seen: float) -> Source:
    """Return the source with an earlier writer that continues after a later one stopped."""
    shifts = source.shifts
    alone = {"writer": writer, "shift": shifts.get(writer, 0.0), "past": _past(shifts, writer)}
    return replace(source, state=RUNNING, since=seen, begun=order, latest=order, rival="", process="", **alone)


def without_rival(source: Source, line: StopLine) -> Source:
    """Return the source without its second writer, which has stopped."""
    return replace(source, rival="", begun=max(source.begun, line.order))


def alive(source: Source, line: HeldLine) -> Source:
    """Return the source as running if its writer made a snapshot after the stop; otherwise itself."""
    if source.state != STOPPED or line.as_of <= source.latest:
        return source
    return replace(source, state=RUNNING, since=line.seen)


def outlived(source: Source, line: StartLine) -> Source:
    """Return the source as stopped if another jail's start shows a new boot or fail2ban process; otherwise itself."""
    if source.state != RUNNING or not (_rebooted(source, line) or _replaced(source, line)):
        return source
    return replace(source, state=STOPPED, since=line.seen)


def _rebooted(source: Source, line: StartLine) -> bool:
    return source.server == line.server and "" not in (source.boot, line.boot) and source.boot != line.boot


def _replaced(source: Source, line: StartLine) -> bool:
    """Whether the same fail2ban has a later process, under any label."""
    which, dot, _ = line.process.partition(".")
    other = bool(dot) and source.process.startswith(which + dot) and source.process != line.process
    return other and not source.rival and bool(source.epoch) and line.clock > source.begun - source.epoch


def _past(shifts: dict[str, float], now: str) -> str:
    kept = [f"{writer}:{shift:.6f}" if shift else writer for writer, shift in shifts.items() if writer != now]
    return " ".join(kept[-_PAST:])


def stopped(source: Source, line: StopLine) -> Source:
    """Return the source as stopped or left; itself unless the line is the last one of its last writer."""
    if line.writer != source.writer or line.order <= source.latest:
        return source
    if source.rival:
        return resumed(source, source.rival, line.order, line.seen)
    return replace(source, state=LEFT if line.left else STOPPED, since=line.seen, latest=line.order)


def _same_boot(source: Source, line: StartLine) -> bool:
    return bool(line.boot and line.clock and line.boot == source.boot and source.epoch)


def _shift(source: Source, line: StartLine) -> float:
    """Return the shift of a new writer, with which its orders follow those of the earlier writers."""
    same_boot = _same_boot(source, line)
    shift = _boot_shift(source, line) if same_boot else 0.0
    latest = source.latest + (LAG_S if source.state == RUNNING and not same_boot else 0.0)
    behind = latest - (line.order + shift)
    return shift if behind < 0 else round(shift + behind + 0.001, 6)


def _boot_shift(source: Source, line: StartLine) -> float:
    """Return the shift of a writer of the same boot, by the clock since boot."""
    shift = source.epoch - (line.order - line.clock)
    return round(shift, 6) if abs(shift) >= _STEP_S else 0.0
