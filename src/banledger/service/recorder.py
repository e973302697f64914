"""The recorder: move lines from the spool to the ledger, batch by batch.

    open ─► rebuild? ─► lock ─► labels ─► spool.read ─► ledger.record ─► spool.commit ─► replay ─► whois
                                              ▲                │ fails
                                              └─ spool.rollback, wait

`step` does one batch, with the caller's clock; `run` is the service's loop around it. An outage is logged once when it
begins and once when it ends; bans wait in the spool meanwhile. Waits and the age of segments are measured in elapsed
time; the ledger is tidied only while the wall clock is settled.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from banledger.clock import ClockWatch
from banledger.errors import BanledgerError, LabelTaken, RebuildRunning, SpoolLocked, StoreError
from banledger.geo.place import Locate
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.labels import Labels
from banledger.ledger.rebuild_lease import PACE, Gate, Pace
from banledger.ledger.writer import Ledger
from banledger.service.background import Background, Pausable
from banledger.service.forgetting import Forgetting
from banledger.service.heartbeat import HeartbeatWriter
from banledger.service.imports import log_finished
from banledger.service.memory import Memory
from banledger.service.outage import RECORDING, ServiceStatus, Until
from banledger.service.replay import DAMAGED, Replay
from banledger.service.systemd import Notifier
from banledger.spool.events import Event, bears_label
from banledger.spool.lock import NAME, SpoolLock
from banledger.spool.reader import SpoolReader

BATCH = 2000
"""Lines that go into the ledger in one step."""

_POLL_S, _TIDY_S = 0.1, 60.0

_REBUILD = "rebuild in progress"
_WAITING = f"waiting: {_REBUILD}"

_UNLOCKED = "can't create %s: lost lines are not noticed; ensure that no other recorder reads this spool"

_log = logging.getLogger("banledger")


class Recorder:
    """Move what the spool holds into the ledger that `connect` opens. Used by one thread.

    whois    background work. Errors in it back off and never stop recording
    forgetting  forgets between batches
    keep     keep segments in the spool as long as the store may lose recent writes
    patient  `run` waits out every error of the store, even one that only a person can fix
    watch    judges the wall clock
    labels   server labels that this recorder may record into a shared ledger
    lock     of the spool
    memory   positions and identity that are remembered of the store
    me       what this recorder's heartbeats say of itself; None: it writes none
    """

    def __init__(
        self,
        spool: SpoolReader,
        connect: Callable[[], Ledger],
        locate: Locate,
        *,
        whois: Background | None = None,
        forgetting: Forgetting | None = None,
        batch: int = BATCH,
        keep: bool = True,
        patient: bool = False,
        watch: ClockWatch | None = None,
        labels: Labels | None = None,
        lock: SpoolLock | None = None,
        memory: Memory | None = None,
        me: Heartbeat | None = None,
        pace: Pace = PACE,
    ) -> None:
        self._spool = spool
        self._connect = connect
        self._locate = locate
        self._batch = batch
        self._keep = keep
        self._patient = patient
        self._watch = watch or ClockWatch()
        self._whois = Pausable(whois, self._watch.elapsed)
        self._forgetting = forgetting
        self._labels = labels or Labels(elapsed=self._watch.elapsed)
        self._lock = lock or SpoolLock(spool.directory)
        self._replay = Replay(spool, memory or Memory())
        self._heart = HeartbeatWriter(me, spool, self._labels, self._whois, self._watch)
        self._gate = Gate(self._watch.elapsed, pace)
        self._ledger: Ledger | None = None
        self._identity = ""  # of the ledger that was opened last
        self._unlocked = False  # whether that was logged
        self._compared = False  # whether the ledger's positions were compared with the memory
        self._tidy_at = 0.0

    @property
    def skipped(self) -> int:
        """How many lines of unknown kinds were skipped."""
        return self._spool.skipped

    @property
    def held_back(self) -> LabelTaken | None:
        """Why some lines are left in the spool."""
        return next((LabelTaken(one.message, hint=one.hint) for one in self._labels.refused.values()), None)

    def run(self, until: Until, notifier: Notifier) -> None:
        """Run until told to stop, then return. Raises errors that waiting can't fix."""
        status = ServiceStatus(notifier, self._spool)
        while not until.stopped:
            notifier.alive()
            try:
                done = self.step(time.time())
            except BanledgerError as error:
                may_recover = self._patient and (isinstance(error, StoreError) or bool(self._identity))
                if not (error.retryable or may_recover):
                    raise
                if not isinstance(error, SpoolLocked):  # the other recorder tells
                    with suppress(StoreError):
                        self._beat(str(error))
                until.wait(status.failed(error))
            else:
                status.works(self._status())
                if done.lines < self._batch:
                    until.wait(_POLL_S)

    def _status(self) -> str:
        labels = sorted(self._labels.refused)
        but = f"; held back: server label {', '.join(map(repr, labels))}" if labels else ""
        return _WAITING if self._gate.closed else f"{RECORDING}{but}"

    def drain(self, now: float) -> Recorded:
        """Record everything that the spool holds now. Asks no registry; uses what the ledger knows."""
        total, ledger = Recorded(), self.open()
        self._whois.follow(ledger, now)
        while True:
            done = self._move(now)
            if self._gate.closed:
                raise RebuildRunning("a rebuild of the ledger is running", hint="try again when it has ended")
            total += done
            if done.lines:
                continue
            if not self._spool.doubtful:
                return total
            if not self._spool.caught_up:  # the next listing of a large directory may be a while away
                time.sleep(_POLL_S / 10)

    def step(self, now: float) -> Recorded:
        """Record one batch, do one step of whois (UTC epoch `now`). May be repeated after StoreError and SpoolError."""
        done = self._move(now)
        self._beat(_REBUILD if self._gate.closed else "", now)
        if self._gate.closed or self._ledger is None:
            return done
        try:
            self._replay.step(self._ledger)
            self._whois.step(self._ledger, now)
            if self._forgetting:
                self._forgetting.step(self._ledger, now)
        except StoreError:
            self._reconnect_and_replay()
            raise
        return done

    def _beat(self, waits: str, now: float = 0.0) -> None:
        """Write the heartbeat if it is due. Raises StoreError if the store is lost; the next step opens it again."""
        if self._ledger is not None:
            try:
                self._heart.beat(self._ledger, now or time.time(), waits=waits, replaying=self._replay.active)
            except StoreError:
                self._reconnect_and_replay()
                raise

    def _move(self, now: float) -> Recorded:
        self._watch.see(now)
        begun = self._watch.elapsed()
        try:
            ledger = self.open()
            if ledger.shared and self._waits_for_rebuild(ledger):
                return Recorded()
            self._lock_spool()
            self._compare(ledger)
            if self._labels.due and ledger.lost():
                self._reconnect_and_replay()
                return Recorded()
            lines = self._read(ledger)
            done = self._replay.record(ledger, lines, self._locate, now)
            if self._watch.elapsed() >= self._tidy_at and not self._tidy(ledger, now):
                return Recorded()
        except StoreError:
            self._reconnect_and_replay()
            raise
        except BaseException:
            self._spool.rollback()
            raise
        self._spool.commit()
        self._heart.recorded(lines, done, now + self._watch.elapsed() - begun)
        log_finished(lines, ledger.imports.of)
        self._replay.committed(ledger)
        for notice in ledger.notices():
            _log.warning("%s", notice)
        return done

    def open(self) -> Ledger:
        """The ledger, opened where it is not. Raises StoreError."""
        if self._ledger is None:
            self._ledger = ledger = self._connect()
            self._spool.keep_s = ledger.replay_s if self._keep else 0.0
            for caution in ledger.cautions() if not self._identity else ():
                _log.warning("%s", caution)
            self._gate.reopen()
            if ledger.damaged:
                _log.error(DAMAGED, ledger.keys.meta)
            self._identity = ledger.identity
            self._compared = False
        return self._ledger

    def _reconnect_and_replay(self) -> None:
        """Recent writes may be lost: reopen the ledger and read the replay window again."""
        self._replay.lost_connection()
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _waits_for_rebuild(self, ledger: Ledger) -> bool:
        """Whether a rebuild is running. The ledger is opened again after it: cached keys may be out of date."""
        waited = self._gate.closed
        if self._gate.look(ledger.signs) != waited:
            _log.warning("%s", "rebuild finished; recording again" if waited else _WAITING)
            if waited:
                self._ledger = None
                ledger.close()
        return waited or self._gate.closed

    def _lock_spool(self) -> None:
        """Keep other recorders out. Without the lock they may record missing lines, so no gap is reported."""
        if self._lock.held:
            return
        alone = self._lock.hold()
        self._spool.begin_anew(alone=alone)
        self._compared = False
        if not alone and not self._spool.missing and not self._unlocked:
            self._unlocked = True
            _log.warning(_UNLOCKED, self._spool.directory / NAME)

    def _compare(self, ledger: Ledger) -> None:
        """Check what the store lost, after it was opened and after the lock was taken."""
        if not self._compared:
            self._replay.opened(ledger)
            self._compared = True

    def _read(self, ledger: Ledger) -> list[Event]:
        """The next lines. Lines of labels that another recorder has stay in the spool."""
        if ledger.labels is None:
            return self._spool.read(self._watch.elapsed(), self._batch)
        if self._labels.due:
            self._labels.take(ledger.labels)
        while True:
            if released := self._spool.hold_back(self._labels.refused):
                self._replay.released(ledger, released)
            for level, text in self._labels.notices():
                _log.log(level, "%s", text)
            lines = self._spool.read(self._watch.elapsed(), self._batch)
            new = self._labels.new(ledger.labels, {line.server for line in lines if bears_label(line)})
            if not new:
                return lines
            self._spool.rollback()
            self._labels.take(ledger.labels, new)

    def _tidy(self, ledger: Ledger, now: float) -> bool:
        """Do what is due once a minute. False: the connection was lost, so the batch must be read again."""
        if ledger.lost():
            self._reconnect_and_replay()
            return False
        ledger.record_aside(self._locate)
        if self._watch.settled:
            ledger.tidy(now)
        self._tidy_at = self._watch.elapsed() + _TIDY_S
        return True

    def close(self) -> None:
        """Close spool and ledger; release leases that other recorders may wait for."""
        self._heart.stop(self._ledger, time.time())
        self._spool.close()
        self._lock.release()
        self._whois.close(self._ledger)
        if self._forgetting:
            self._forgetting.close(self._ledger)
        if self._ledger is not None:
            if self._ledger.labels is not None:
                with suppress(StoreError):
                    self._labels.give_back(self._ledger.labels)
                with suppress(StoreError):
                    self._gate.leave(self._ledger.signs)
            self._ledger.close()
            self._ledger = None
