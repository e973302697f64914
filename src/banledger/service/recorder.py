"""The recorder: from the spool to the ledger, over and over.

    labels.take ──► spool.read ──► ledger.record ──► spool.commit ──► whois.step
                        │               │ fails
      lines of labels that others       └─► spool.rollback, wait, again
      record are left in the spool

`step` does it once, with a clock of the caller's; `run` is the service's loop around it. Whatever goes wrong that may
mend itself is said once, when it begins and when it ends; the bans wait in the spool meanwhile, if there is one.
Waits, and how long segments are kept, are measured in elapsed time; the ledger is tidied only while the wall clock is
settled.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from banledger.clock import ClockWatch
from banledger.errors import BanledgerError, LabelTaken, RebuildRunning, SpoolError, StoreError
from banledger.geo.place import Locate
from banledger.ledger.labels import Labels
from banledger.ledger.rebuilding import PACE, Gate, Pace
from banledger.ledger.writer import Ledger, Recorded
from banledger.service.memory import Memory
from banledger.service.replay import Replay
from banledger.service.systemd import Notifier
from banledger.spool.events import Event, bears_label
from banledger.spool.lock import NAME as LOCK
from banledger.spool.lock import SpoolLock
from banledger.spool.reader import SpoolReader

BATCH = 2000
"""Lines that go into the ledger in one step."""

_POLL_S = 0.1
_TIDY_S = 60.0
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_FIRST_REST_S, _LONGEST_REST_S = 5.0, 300.0

_DAMAGED = (
    "the ledger has lost %s: the store evicted it, or somebody deleted it; it was made anew, recording goes on"
    " (docs/stores.md, 'When keys are gone', says how to mend the rest)"
)

_WAITING = "waiting: rebuild in progress"

_log = logging.getLogger("banledger")


class Until(Protocol):
    """What ends the loop: `stopped`, and a `wait` that it cuts short."""

    @property
    def stopped(self) -> bool:
        """Whether to end."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait so long, or until stopped."""
        ...


class Background(Protocol):
    """What is done for the ledger between batches, without making them wait. See `whois.Whois`."""

    def step(self, ledger: Ledger, now: float) -> None:
        """Do a little (UTC epoch `now`). Raises StoreError."""
        ...

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Learn a little of what the ledger knows; whether that was all."""
        ...

    def leave(self, ledger: Ledger) -> None:
        """Let others do it. Raises StoreError."""
        ...

    def close(self) -> None:
        """Do no more."""
        ...


class Recorder:
    """Moves what the spool holds into the ledger that `connect` opens. Used by one thread.

    `whois`: what goes on in the background. Its troubles are its own: it rests a while, and bans are recorded.
    `keep`: leave segments in the spool as long as the store may still lose what it was given.
    `patient`: `run` waits for whatever may be wrong with the store, also for what only a person can mend.
    `watch`: judges the wall clock; None: a new one.
    `labels`: which server labels this recorder may record into a ledger that it shares.
    `lock`: of the spool; None: a new one.
    `memory`: what is remembered of the store; None: nothing yet.
    """

    def __init__(
        self,
        spool: SpoolReader,
        connect: Callable[[], Ledger],
        locate: Locate,
        *,
        whois: Background | None = None,
        batch: int = BATCH,
        keep: bool = True,
        patient: bool = False,
        watch: ClockWatch | None = None,
        labels: Labels | None = None,
        lock: SpoolLock | None = None,
        memory: Memory | None = None,
        pace: Pace = PACE,
    ) -> None:
        self._spool = spool
        self._connect = connect
        self._locate = locate
        self._whois = whois
        self._batch = batch
        self._keep = keep
        self._patient = patient
        self._identity = ""
        self._ledger: Ledger | None = None
        self._watch = watch or ClockWatch()
        self._labels = labels or Labels(elapsed=self._watch.elapsed)
        self._lock = lock or SpoolLock(spool.directory)
        self._unlocked = False
        self._replay = Replay(spool, memory or Memory())
        self._gate = Gate(self._watch.elapsed, pace)
        self._tidy_at = 0.0
        self._rest_until = self._rest_s = 0.0
        self._whois_troubles: set[str] = set()
        self._troubles: set[str] = set()
        self._told = "recording"

    def open(self) -> Ledger:
        """The ledger, opened where it is not. Raises StoreError."""
        if self._ledger is None:
            self._ledger = ledger = self._connect()
            self._spool.keep_s = ledger.replay_s if self._keep else 0.0
            for caution in ledger.cautions() if not self._identity else ():
                _log.warning("%s", caution)
            self._gate.reopen()
            if ledger.damaged:
                _log.error(_DAMAGED, ledger.keys.meta)
            self._replay.opened(ledger)
            self._identity = ledger.identity
        return self._ledger

    def close(self) -> None:
        """Let go of spool and ledger."""
        self._spool.close()
        self._lock.release()
        if self._whois is not None:
            self._whois.close()
        if self._ledger is not None:
            if self._ledger.labels is not None:
                with suppress(StoreError):
                    self._labels.give_back(self._ledger.labels)
            with suppress(StoreError):
                if self._whois is not None:
                    self._whois.leave(self._ledger)
            with suppress(StoreError):
                if self._ledger.shared:
                    self._gate.leave(self._ledger.signs)
            self._ledger.close()
            self._ledger = None

    @property
    def skipped(self) -> int:
        """How many lines of unknown kinds were skipped."""
        return self._spool.skipped

    def step(self, now: float) -> Recorded:
        """Move one batch and do some of whois (UTC epoch `now`).

        Raises StoreError or SpoolError, after which it may be called again.
        """
        done = self._move(now)
        if self._gate.closed or self._ledger is None:
            return done
        try:
            self._replay.step(self._ledger)
        except StoreError:
            self._go_back()
            raise
        if self._whois is not None and self._watch.elapsed() >= self._rest_until:
            try:
                self._whois.step(self._ledger, now)
                self._rest_s = 0.0
            except Exception as error:  # noqa: BLE001  # whatever it is, bans go first
                self._unless_the_store_failed(error)
                self._whois_failed(error)
        return done

    def _unless_the_store_failed(self, error: Exception) -> None:
        """Raise a StoreError that is no trouble of whois's own: nothing can be read from the store any more."""
        if not isinstance(error, StoreError) or self._ledger is None:
            return
        try:
            self._ledger.lost()
        except StoreError:
            self._go_back()
            raise error  # noqa: B904  # the first one says it best

    def _whois_failed(self, error: Exception) -> None:
        """Said once for each kind of trouble; what nobody foresaw with where it was."""
        self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S) or _FIRST_REST_S
        self._rest_until = self._watch.elapsed() + self._rest_s
        kind = f"whois {getattr(error, 'hint', '') or type(error).__name__}"
        if kind not in self._whois_troubles:
            self._whois_troubles.add(kind)
            unforeseen = None if isinstance(error, BanledgerError) else error
            _log.warning("whois rests: %r; bans are recorded without it", str(error), exc_info=unforeseen)

    def _move(self, now: float) -> Recorded:
        self._watch.see(now)
        try:
            ledger = self.open()
            if ledger.shared and self._waits_for_rebuild(ledger):
                return Recorded()
            self._lock_spool()
            if self._labels.due and ledger.lost():
                self._go_back()
                return Recorded()
            lines = self._read(ledger)
            done = self._replay.record(ledger, lines, self._locate, now)
            if self._watch.elapsed() >= self._tidy_at:
                if ledger.lost():
                    self._go_back()
                    return Recorded()
                ledger.record_aside(self._locate)
                if self._watch.settled:
                    ledger.tidy(now)
                self._tidy_at = self._watch.elapsed() + _TIDY_S
        except StoreError:
            self._go_back()
            raise
        except BaseException:
            self._spool.rollback()
            raise
        self._spool.commit()
        self._replay.committed(ledger)
        for notice in ledger.notices():
            _log.warning("%s", notice)
        return done

    def _lock_spool(self) -> None:
        """Keep other recorders off. Where that can't be, missing lines may be recorded by them: no gap is believed."""
        if self._lock.held:
            return
        alone = self._lock.hold()
        self._spool.begin_anew(alone=alone)
        if self._ledger is not None:
            self._replay.opened(self._ledger)
        if not alone and not self._spool.missing and not self._unlocked:
            self._unlocked = True
            _log.warning(
                "can't make %s: lines that vanish are not noticed; see to it that no other recorder reads that spool",
                self._spool.directory / LOCK,
            )

    def _read(self, ledger: Ledger) -> list[Event]:
        """The next lines, without those of labels that another recorder records: they stay in the spool."""
        if ledger.labels is None:
            return self._spool.read(self._watch.elapsed(), self._batch)
        if self._labels.due:
            self._labels.take(ledger.labels)
        while True:
            self._hold_back()
            lines = self._spool.read(self._watch.elapsed(), self._batch)
            new = self._labels.new(ledger.labels, {line.server for line in lines if bears_label(line)})
            if not new:
                return lines
            self._spool.rollback()
            self._labels.take(ledger.labels, new)

    def _hold_back(self) -> None:
        """Keep what others record in the spool; say so."""
        self._spool.hold_back(self._labels.refused)
        for level, text in self._labels.notices():
            _log.log(level, "%s", text)

    @property
    def held_back(self) -> LabelTaken | None:
        """Why some lines are left in the spool."""
        for refusal in self._labels.refused.values():
            return LabelTaken(refusal.message, hint=refusal.hint)
        return None

    def _waits_for_rebuild(self, ledger: Ledger) -> bool:
        """Whether a rebuild is at work. The ledger is opened anew after it: what we know of its keys may be old."""
        waited = self._gate.closed
        if self._gate.look(ledger.signs) != waited:
            _log.warning("%s", "rebuild finished; recording again" if waited else _WAITING)
            if waited:
                self._ledger = None
                ledger.close()
        return waited or self._gate.closed

    def _go_back(self) -> None:
        """Nobody knows what the store still has of the last moments: begin with it anew."""
        self._replay.lost_connection()
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def drain(self, now: float) -> Recorded:
        """Move all that the spool holds now. Nobody is asked about it; what the ledger knows already is used."""
        total, ledger = Recorded(), self.open()
        while self._whois is not None and not self._whois.follow(ledger, now):
            pass
        while True:
            done = self._move(now)
            if self._gate.closed:
                raise RebuildRunning("a rebuild of the ledger is in progress", hint="try again when it has ended")
            total += done
            if done.lines:
                continue
            if not self._spool.doubtful:
                return total
            if not self._spool.caught_up:  # the next look at a large directory may be a while away
                time.sleep(_POLL_S / 10)

    def run(self, until: Until, notifier: Notifier) -> None:
        """Move until told to stop. Returns then; raises what can't mend itself."""
        wait = _FIRST_WAIT_S
        notifier.ready("recording")
        while not until.stopped:
            notifier.alive()
            try:
                done = self.step(time.time())
            except BanledgerError as error:
                if not (error.retryable or self._may_be_mended(error)):
                    raise
                self._in_trouble(error, notifier)
                until.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT_S)
            else:
                self._out_of_trouble(notifier)
                self._tell(notifier)
                wait = _FIRST_WAIT_S
                if done.lines < self._batch:
                    until.wait(_POLL_S)

    def _tell(self, notifier: Notifier) -> None:
        """Keep the service manager's status true."""
        labels = sorted(self._labels.refused)
        but = f"; held back: server label {', '.join(map(repr, labels))}" if labels else ""
        status = _WAITING if self._gate.closed else f"recording{but}"
        if status != self._told:
            self._told = status
            notifier.status(status)

    def _may_be_mended(self, error: BanledgerError) -> bool:
        """Whether somebody may mend it while we wait: what is wrong with the store, or was right when we started."""
        return self._patient and (isinstance(error, StoreError) or bool(self._identity))

    def _in_trouble(self, error: BanledgerError, notifier: Notifier) -> None:
        """Say each kind of trouble once (what to do about it tells kinds apart; details may differ at every try)."""
        kind = error.hint or str(error)
        if kind not in self._troubles:
            self._troubles.add(kind)
            if isinstance(error, SpoolError) and self._spool.missing:
                missing = f"can't read the spool {self._spool.directory}: there is no such directory"
                _log.error("%s, so no ban is recorded (%s)", missing, error.hint)
                notifier.status(f"waiting: {error}")
                return
            meanwhile = "no ban is recorded: there is no spool" if self._spool.missing else "bans wait in the spool"
            _log.error("%s; %s (%s)", error, meanwhile, error.hint or "it is tried again")
            notifier.status(f"waiting: {error}")

    def _out_of_trouble(self, notifier: Notifier) -> None:
        if self._troubles:
            self._troubles.clear()
            self._told = "recording"
            _log.warning("recording again")
            notifier.status("recording")
