"""Write this recorder's heartbeat, see `ledger.heartbeats`.

Theory of operation. `recorded` notes each batch, in memory. `beat` is called between batches at any rate, and looks at
intervals: after `LOOK_S` it writes what changed, after `BEAT_S` it writes anyway. It writes one field of one hash. An
error of it pauses heartbeats and never stops recording.
"""

import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from statistics import median

from msgspec.structs import replace

from banledger.clock import ClockWatch
from banledger.errors import StoreError
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.heartbeat import MOST_LISTED, Heartbeat, HeldLabel, bounded
from banledger.ledger.heartbeats import BEAT_S, KEPT_S
from banledger.ledger.ids import ban_id
from banledger.ledger.labels import IDLE_S, Labels
from banledger.ledger.merge import subject_of
from banledger.ledger.recorder_health import age_s
from banledger.ledger.writer import Ledger
from banledger.service.background import Pausable, raise_if_lost
from banledger.service.outage import Outage
from banledger.spool.backlog import Backlog
from banledger.spool.events import BanLine, Event, GapLine, bears_label
from banledger.spool.reader import SpoolReader

LOOK_S = 10.0
"""What changed is written after this time at the latest."""

_TIDY_S = 3600.0
_DELAYS = 100

_log = logging.getLogger("banledger")


class HeartbeatWriter:
    """See the module. Used by one thread.

    me  what never changes: id, host, pid, version, spool, since. None: no heartbeat is written
    """

    def __init__(
        self, me: Heartbeat | None, spool: SpoolReader, labels: Labels, whois: Pausable, watch: ClockWatch
    ) -> None:
        self._now = me  # what is known without asking others
        self._spool = spool
        self._labels = labels
        self._whois = whois
        self._watch = watch
        self._written: Heartbeat | None = None
        self._ahead: float | None = None  # of the store's clock, when it was written
        self._ledger = ""  # identity of the ledger that has it
        self._used: dict[str, float] = {}  # label: elapsed time of its last line
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._outage = Outage(LOOK_S, 300.0, once=True)
        self._waiting = Backlog()
        self._look_at = self._beat_at = self._tidy_at = 0.0

    def recorded(self, lines: list[Event], done: Recorded, now: float) -> None:
        """Note a batch that is recorded now (UTC epoch)."""
        if self._now is None or not lines:
            return
        for label in {line.server for line in lines if bears_label(line)}:
            self._used[label] = self._watch.elapsed()
        lost = sum(line.bans + line.others for line in lines if isinstance(line, GapLine)) if done.gaps else 0
        self._now = replace(self._now, lines=self._now.lines + len(lines), lost=self._now.lost + lost)
        live = [line for line in lines if isinstance(line, BanLine) and not line.origin and not line.restored]
        if live and done.new:
            if done.new >= len(live):  # otherwise some were read again, and recorded before
                self._delays.extend(max(0.0, now - line.seen) for line in live[-_DELAYS:])
            about = subject_of(live[-1])
            id_ = ban_id(about.server, about.jail, about.fid, about.time)
            self._now = replace(self._now, last_id=id_, last_ban=live[-1].seen, last_recorded=max(0.0, now))

    def beat(self, ledger: Ledger, now: float, *, waits: str = "", replaying: bool = False) -> None:
        """Write the heartbeat if it is due (UTC epoch `now`). Raises StoreError only if the store fails recording too.

        waits      why nothing can be recorded
        replaying  whether lines are recorded again after the store lost writes
        """
        if self._now is None:
            return
        if bool(waits) != bool(self._now.waits):
            self._look_at = self._beat_at = 0.0
            self._now = replace(self._now, waits_since=max(0.0, now) if waits else 0.0)
        self._now = replace(self._now, waits=bounded(waits), replaying=replaying)
        if self._watch.elapsed() < self._look_at and ledger.identity == self._ledger:
            return
        try:
            self._look(ledger, self._now, now)
            self._outage.over()
        except StoreError as error:
            raise_if_lost(ledger, error)
            if self._outage.failed(error.hint or str(error)):
                _log.warning("can't write a heartbeat: %s; bans are recorded, and status can't tell", error)
        self._look_at = self._watch.elapsed() + max(LOOK_S, self._outage.wait_s)

    def _look(self, ledger: Ledger, known: Heartbeat, now: float) -> None:
        if ledger.identity != self._ledger:
            known = self._now = self._begin(ledger, known)
        elapsed = self._watch.elapsed()
        if elapsed >= self._beat_at:
            known = self._now = replace(known, cautions=_few(ledger.cautions()))
        beat = self._complete(known, now)
        if elapsed < self._beat_at and self._written == beat:
            return
        clock = ledger.store().details().clock
        self._ahead = None if clock is None else round(clock - now, 1)
        ledger.beat(replace(beat, written=max(0.0, now), ahead=self._ahead))
        self._written, self._beat_at = beat, elapsed + BEAT_S
        if elapsed >= self._tidy_at:
            self._tidy_at = elapsed + _TIDY_S
            self._tidy(ledger, now)

    def _begin(self, ledger: Ledger, known: Heartbeat) -> Heartbeat:
        """Start with a ledger: take over what our last heartbeat says of labels and bans."""
        before = next((beat for beat in ledger.heartbeats() if beat.id == known.id), None)
        if before is not None:
            self._used = dict.fromkeys(before.labels, self._watch.elapsed()) | self._used
            if not known.last_id:
                known = replace(
                    known, last_id=before.last_id, last_ban=before.last_ban, last_recorded=before.last_recorded
                )
        self._ledger, self._beat_at = ledger.identity, 0.0
        return known

    def _complete(self, known: Heartbeat, now: float) -> Heartbeat:
        """Add what others know."""
        idle = self._watch.elapsed() - IDLE_S
        refused = self._labels.refused
        self._used = {label: used for label, used in self._used.items() if used > idle and label not in refused}
        unseen, whois = not self._sees_backlog(), self._whois.activity()
        waiting = self._waiting
        return replace(
            known,
            labels=_few(sorted(self._used)),
            delay_s=round(median(self._delays), 3) if self._delays else None,
            waiting=waiting.lines,
            waiting_bytes=waiting.size,
            unseen=unseen,
            oldest_s=0.0 if waiting.oldest is None else max(0.0, round(now - waiting.oldest, 1)),
            held=tuple(HeldLabel(*_few([label, why.message])) for label, why in sorted(refused.items()))[:MOST_LISTED],
            rejected=self._spool.quarantine.kept,
            skipped=self._spool.skipped,
            whois=whois.doing,
            whois_trouble=bounded(whois.trouble),
            registries=whois.registries[:MOST_LISTED],
        )

    def _sees_backlog(self) -> bool:
        """Look at what waits. False: it can't be seen now; what was seen last is kept."""
        try:
            self._waiting = self._spool.backlog()
        except OSError:
            return False
        return True

    def _tidy(self, ledger: Ledger, now: float) -> None:
        """Remove heartbeats of recorders that are gone: for long, or at once where there can be only one recorder."""
        others = [beat for beat in ledger.heartbeats() if self._now and beat.id != self._now.id]
        gone = [beat.id for beat in others if self._watch.settled and age_s(beat, now, self._ahead) > KEPT_S]
        if not ledger.shared:
            gone = [beat.id for beat in others]
        if gone:
            ledger.drop_heartbeats(gone)

    def stop(self, ledger: Ledger | None, now: float) -> None:
        """Write that this recorder stops (UTC epoch `now`), if it wrote a heartbeat before."""
        if self._now is not None and self._written is not None and ledger is not None:
            ended = replace(
                self._now, written=max(0.0, now), stopped=max(1.0, now), waits="", waits_since=0.0, ahead=self._ahead
            )
            with suppress(StoreError):
                ledger.beat(self._complete(ended, now))


def _few(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple([bounded(text) for text in texts][:MOST_LISTED])
