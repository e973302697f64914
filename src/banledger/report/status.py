"""Whether bans are recorded: what the ledger, its recorders and this machine's fail2ban say, and what is wrong.

Pure but for `status` and `alarm`, which read the ledger. `findings` is the one place that says what is wrong; the
screen, JSON and the check for monitoring show it.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

from msgspec import Struct
from msgspec.structs import replace

from banledger.ledger.gap import Gap
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.ids import second_of
from banledger.ledger.reader import LedgerReader
from banledger.ledger.recorder_health import RecorderHealth, RecorderState, doubtful, healths
from banledger.ledger.selected import select
from banledger.ledger.source import RUNNING, STOPPED, Source
from banledger.report.formats.escape import many, visible
from banledger.report.formats.moment import rough
from banledger.stores.api import StoreDetails
from banledger.stores.selection import Selection

LOST_S = 7 * 86_400.0
"""Lost events of this time are shown."""

_LOST_LATELY_S = 86_400.0  # and these are a warning
_WARNING_S, _CRITICAL_S = 300.0, 3600.0
_LISTED = 5
_SILENT_AFTER = "no sign of life from the recorder on"


class Level(IntEnum):
    """How bad it is: the exit codes of the Monitoring Plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3

    @property
    def rank(self) -> int:
        """Its place, worst first."""
        return (Level.CRITICAL, Level.WARNING, Level.UNKNOWN, Level.OK).index(self)


class AgeLimits(Struct, frozen=True):
    """From which age of the oldest waiting ban, seconds, it is a warning, and critical."""

    warning_s: float = _WARNING_S
    critical_s: float = _CRITICAL_S

    def level(self, seconds: float) -> Level:
        """The level of an age."""
        late = seconds >= self.warning_s
        return Level.CRITICAL if seconds >= self.critical_s else Level.WARNING if late else Level.OK


class UnrecordedJail(Struct, frozen=True):
    """A jail of this machine's fail2ban that is not recorded, and its bans now and since fail2ban's start."""

    jail: str
    banned: int
    total: int


class Finding(Struct, frozen=True):
    """Something that is wrong, as text that is safe to print, and how bad it is."""

    level: Level
    what: str


class LedgerStatus(Struct, frozen=True):
    """The status of a ledger.

    bans        bans recorded; `in_force`: now
    newest      when the newest ban was, UTC epoch seconds; 0: there is none, or each recorder tells its last one
    recorders   each with its state, those with trouble first
    sources     jails that were ever recorded
    waiting     bans that wait for whois
    gaps        of the last week, newest first
    aside       lines about damaged bans
    unrecorded  jails of this machine that ban and are not recorded; None: fail2ban was not asked, or did not answer
    findings    what is wrong, worst first
    """

    store: StoreDetails
    now: float
    bans: int
    in_force: int
    recorders: tuple[RecorderHealth, ...]
    sources: tuple[Source, ...]
    waiting: int
    gaps: tuple[Gap, ...]
    aside: int
    newest: float = 0.0
    unrecorded: tuple[UnrecordedJail, ...] | None = None
    limits: AgeLimits = AgeLimits()
    findings: tuple[Finding, ...] = ()

    @property
    def level(self) -> Level:
        """How bad it is."""
        return self.findings[0].level if self.findings else Level.OK

    @property
    def oldest_s(self) -> float:
        """The age of the oldest ban that may wait to be recorded, as far as recorders tell, seconds."""
        return max([0.0, *map(waits_s, self.recorders)])

    @property
    def alive(self) -> list[RecorderHealth]:
        """The recorders that live."""
        return [one for one in self.recorders if not one.state.gone and one.state is not RecorderState.REPLACED]

    @property
    def cautions(self) -> list[str]:
        """Settings of the store that endanger the ledger, as the recorders that live tell."""
        return list(dict.fromkeys(caution for one in self.alive for caution in one.beat.cautions))


def status(ledger: LedgerReader, now: float, limits: AgeLimits = AgeLimits()) -> LedgerStatus:  # noqa: B008
    """Read the status of a ledger (UTC epoch `now`), not `judged` yet. Raises StoreError."""
    store, days = ledger.store().details(), ledger.days()
    recorders = tuple(healths(ledger.heartbeats(), now, None if store.clock is None else store.clock - now))
    return LedgerStatus(
        store=store,
        now=now,
        bans=sum(days.values()),
        in_force=ledger.banned_now(now),
        recorders=recorders,
        sources=tuple(ledger.sources),
        waiting=ledger.waiting(),
        gaps=tuple([gap for gap in ledger.gaps() if now - gap.seen < LOST_S]),
        aside=ledger.store().sizes([ledger.keys.aside])[0],
        newest=0.0 if recorders and all(one.beat.last_ban for one in recorders) else _newest(ledger, days),
        limits=limits,
    )


def _newest(ledger: LedgerReader, days: Mapping[str, int]) -> float:
    """When the newest ban of a ledger was, UTC epoch seconds; 0: it has none."""
    newest = next(iter(select(ledger, Selection(), days).newest(1)), "")
    return float(second_of(newest) or 0)


def waits_s(one: RecorderHealth) -> float:
    """The seconds that bans may have waited for this recorder: exact while it records, else since it does not."""
    beat = one.beat
    match one.state:
        case RecorderState.REPLACED | RecorderState.AHEAD:
            return 0.0
        case RecorderState.WAITING:
            return max(beat.oldest_s, beat.written - beat.waits_since, 0.0) + max(0.0, one.age_s)
        case RecorderState.STOPPED | RecorderState.SILENT:
            return beat.oldest_s + max(0.0, one.age_s)
        case _:
            return beat.oldest_s


# What is wrong.


def judged(found: LedgerStatus) -> LedgerStatus:
    """The same with what is wrong, and with the recorders in trouble first."""
    each = [(one, list(_of_recorder(one, found.limits))) for one in found.recorders]
    listed = [*(finding for _, some in each for finding in some), *_of_ledger(found)]
    each.sort(key=lambda pair: min([one.level.rank for one in pair[1]], default=Level.OK.rank))
    return replace(
        found,
        recorders=tuple(one for one, _ in each),
        findings=tuple(sorted(listed, key=lambda one: one.level.rank)),
    )


def _of_recorder(one: RecorderHealth, limits: AgeLimits) -> Iterator[Finding]:
    beat, host = one.beat, visible(one.beat.host)
    if one.state is RecorderState.REPLACED:
        return
    if trouble := stands_still(one):
        critical = waits_s(one) >= (limits.warning_s if one.state.gone else limits.critical_s)
        yield Finding(Level.CRITICAL if critical else Level.WARNING, trouble)
        return
    if one.state is RecorderState.AHEAD:
        yield Finding(Level.WARNING, f"the heartbeat of {host} is {rough(-one.age_s)} ahead: a clock is wrong")
    late = limits.level(beat.oldest_s)
    for held in beat.held[:_LISTED]:
        yield Finding(max(late, Level.WARNING), f"{host} holds back lines: {visible(held.why)}")
    if late and not beat.held:
        yield Finding(late, f"{_lines(beat)} on {host}, the oldest for {rough(beat.oldest_s)}")
    if beat.whois_trouble:
        yield Finding(Level.WARNING, f"whois paused on {host}: {visible(beat.whois_trouble)}")
    for registry in beat.registries[:_LISTED]:
        since_s = beat.written - registry.since
        if since_s >= limits.critical_s:
            why = f"{visible(registry.name)}: {visible(registry.why)}"
            yield Finding(Level.WARNING, f"whois gets no answers from {why}, for {rough(since_s)}")


def stands_still(one: RecorderHealth) -> str:
    """Say that this recorder does not record, and for how long; empty if it records."""
    beat, host = one.beat, visible(one.beat.host)
    match one.state:
        case RecorderState.STOPPED:
            return f"recording stopped {rough(one.age_s)} ago on {host}"
        case RecorderState.SILENT:
            return f"{_SILENT_AFTER} {host} for {rough(one.age_s)}"
        case RecorderState.WAITING:
            return f"recording waits on {host} for {rough(waits_s(one))}: {visible(beat.waits)}"
        case _:
            return ""


def _lines(beat: Heartbeat) -> str:
    return f"about {many(beat.waiting, 'line')} {'waits' if beat.waiting == 1 else 'wait'} in the spool"


def _of_ledger(found: LedgerStatus) -> Iterator[Finding]:
    if not found.recorders:
        yield Finding(Level.UNKNOWN, "no recorder says that it runs: it never did, or it is older than this banledger")
    if found.sources and found.recorders and all(one.state == STOPPED for one in found.sources):
        yield Finding(Level.WARNING, "no jail runs: fail2ban is stopped (systemctl status fail2ban)")
    lately = [gap for gap in found.gaps if found.now - gap.seen < _LOST_LATELY_S]
    if lately:
        yield Finding(Level.WARNING, f"{lost(lately)} could not be recorded in the last day")
    if found.aside:
        were = "line is" if found.aside == 1 else "lines are"
        yield Finding(
            Level.WARNING, f"{found.aside:,} {were} set aside: bans' hashes are damaged (banledger store rebuild)"
        )
    for caution in found.cautions[:_LISTED]:
        yield Finding(Level.WARNING, visible(caution))
    if found.unrecorded:
        names = ", ".join(visible(one.jail) for one in found.unrecorded[:_LISTED])
        more = f" and {len(found.unrecorded) - _LISTED} more" if len(found.unrecorded) > _LISTED else ""
        yield Finding(Level.WARNING, f"not recorded: {names}{more} (banledger setup)")


def lost(gaps: Sequence[Gap]) -> str:
    """The number of lost events."""
    return f"{many(sum(gap.bans for gap in gaps), 'ban')} and {many(sum(gap.others for gap in gaps), 'other event')}"


def recorded_jails(sources: Sequence[Source], labels: Sequence[str]) -> set[str]:
    """The jails that are recorded under these labels; without labels, under any."""
    return {one.jail for one in sources if one.state == RUNNING and (not labels or one.server in labels)}


# One line for other reports.


def alarm(ledger: LedgerReader, now: float) -> str:
    """What a report must say of the recorders in one line (UTC epoch `now`); empty: nothing. One read of one hash."""
    beats = ledger.heartbeats()
    clock = ledger.store().details().clock if doubtful(beats, now) else None
    for one in healths(beats, now, None if clock is None else clock - now):
        if waits_s(one) >= _WARNING_S and one.state is not RecorderState.REPLACED:
            return stands_still(one) or f"{_lines(one.beat)} on {visible(one.beat.host)}, not recorded yet"
    return ""
