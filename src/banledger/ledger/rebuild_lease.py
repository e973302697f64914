"""Coordinate a rebuild with running recorders, on stores with several writers.

Theory of operation. A rebuild holds a lease, kept by renewal as in `lease`. Every recorder writes a sign of life,
and reads the lease between batches. While the lease is held, the recorder writes no bans, and its sign names the holder
that it waits for. The rebuild begins when every living recorder waits. A starting recorder writes its sign before it
reads the lease, and a rebuild takes the lease before it reads the signs: so one of them sees the other. Clocks are
never compared: a lease or sign that stays the same for `Pace.lease_s` of our own elapsed time has no living owner.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeAlias

from msgspec import Struct

from banledger.errors import RebuildRunning, StoreError, StoreUnavailable
from banledger.ledger.keys import Keyspace
from banledger.ledger.lease import Held, Watch, held_by, take
from banledger.ledger.progress import Progress, silent
from banledger.ledger.swap import assign
from banledger.stores.api import Advance, Engine, Hash

Open: TypeAlias = Callable[[], Engine]


class Pace(Struct, frozen=True):
    """Intervals, seconds.

    lease_s  a lease or sign that stays the same for this long has no living owner
    renew_s  how often both are renewed
    look_s   how often a recorder reads the lease
    """

    lease_s: float = 30.0
    renew_s: float = 5.0
    look_s: float = 0.5


PACE = Pace()


class Signs:
    """The rebuild lease and the recorders' signs of life in a store."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys

    def held(self) -> Held:
        """Return the lease."""
        return held_by(self._engine.hashes([self._keys.rebuild])[0])

    def lease(self, wanted: Held, seen: Held) -> Held:
        """See `lease.take`."""
        return take(self._engine, self._keys.rebuild, wanted, seen)

    def beat(self, name: str, word: str) -> None:
        """Write a recorder's sign."""
        assign(self._engine, self._keys.recorders, {name: word})

    def leave(self, *names: str) -> None:
        """Remove the signs of recorders that stopped."""
        self._engine.apply([], [Advance(self._keys.recorders, {}, names)])

    def recorders(self) -> Hash:
        """Return the sign of each recorder: a number that changes, and the holder it waits for."""
        return self._engine.hashes([self._keys.recorders])[0]


class Gate:
    """The recorder's side. `elapsed`: monotonic clock, seconds. Used by one thread."""

    def __init__(self, elapsed: Callable[[], float], pace: Pace = PACE) -> None:
        self._elapsed = elapsed
        self._pace = pace
        self._name = os.urandom(6).hex()
        self._beats = count(1)
        self._watch = Watch(elapsed, Held())
        self._look_at = self._beat_at = 0.0
        self.closed = False

    def look(self, signs: Signs) -> bool:
        """Whether to wait for a rebuild. Reads the store at intervals. Raises StoreError."""
        now = self._elapsed()
        if now < self._look_at:
            return self.closed
        self._look_at = now + self._pace.look_s
        if now >= self._beat_at:
            self._beat(signs, now)
        held = signs.held()
        self._watch.see(held)
        at_work = not held.free
        if at_work and self._watch.still_s >= self._pace.lease_s:  # its holder is dead: release the lease
            signs.lease(Held(self._name, "0"), held)
            at_work = False
        if at_work != self.closed:
            self.closed = at_work
            self._beat(signs, now)
        return self.closed

    def _beat(self, signs: Signs, now: float) -> None:
        signs.beat(self._name, f"{next(self._beats)} {self._watch.seen.holder if self.closed else ''}")
        self._beat_at = now + self._pace.renew_s

    def reopen(self) -> None:
        """After the store is opened again, write the sign and read the lease before anything else."""
        self._look_at = self._beat_at = 0.0

    def leave(self, signs: Signs) -> None:
        """Remove our sign. Raises StoreError."""
        signs.leave(self._name)


@contextmanager
def alone(
    engine: Engine, open_engine: Open, keys: Keyspace, progress: Progress = silent, pace: Pace = PACE
) -> Iterator[Progress]:
    """Hold the rebuild lease, and wait until all recorders wait. Yields the progress to report to.

    `open_engine` opens the store again, to renew the lease in another thread. The yielded progress raises
    StoreUnavailable when the lease is lost. Raises RebuildRunning if another rebuild is running, StoreError.
    """
    if not engine.shared:  # the lock of the file excludes other writers
        yield progress
        return
    turn = _RebuildTurn(Signs(engine, keys), pace)
    turn.take()
    renewal = threading.Thread(target=turn.renew, args=(open_engine, keys), daemon=True)
    try:
        renewal.start()
        turn.wait_for_recorders(progress)
        yield turn.watched(progress)
    finally:
        turn.ended.set()
        renewal.join()
        turn.give_back()


class _RebuildTurn:
    """The rebuild's side."""

    def __init__(self, signs: Signs, pace: Pace) -> None:
        self._signs = signs
        self._pace = pace
        self._holder = os.urandom(6).hex()
        self._renewed = time.monotonic()
        self.ended = threading.Event()
        self.lost = False

    def take(self) -> None:
        """Take the lease, also from a dead holder. Raises RebuildRunning."""
        other = Watch(time.monotonic, Held())
        while True:
            dead = other.still_s >= self._pace.lease_s
            there = self._signs.lease(self._wanted(), other.seen if dead else Held())
            if there.holder == self._holder:
                self._renewed = time.monotonic()
                return
            if other.seen.holder and there != other.seen:
                raise RebuildRunning("another rebuild of this ledger is running", hint="wait until it has ended")
            other.see(there)
            time.sleep(min(1.0, self._pace.look_s))

    def _wanted(self) -> Held:
        return Held(self._holder, repr(time.time() + self._pace.lease_s))

    def renew(self, open_engine: Open, keys: Keyspace) -> None:
        """Renew the lease until the rebuild has ended, or it is lost."""
        engine: Engine | None = None
        while not self.ended.wait(self._pace.renew_s):
            try:
                engine = engine or open_engine()
                signs = Signs(engine, keys)
                if signs.held().holder != self._holder:
                    self.lost = True
                    break
                signs.lease(self._wanted(), Held())
                self._renewed = time.monotonic()
            except StoreError:
                if engine is not None:
                    engine.close()
                engine = None
        if engine is not None:
            engine.close()

    def wait_for_recorders(self, progress: Progress) -> None:
        """Wait until every living recorder waits; remove the signs of dead ones."""
        watches: dict[str, Watch[str]] = {}
        while True:
            self._check()
            recorders = self._signs.recorders()
            for name, word in recorders.items():
                watches.setdefault(name, Watch(time.monotonic, word)).see(word)
            busy = [name for name, word in recorders.items() if not word.endswith(f" {self._holder}")]
            dead = [name for name in busy if watches[name].still_s >= self._pace.lease_s]
            if dead:
                self._signs.leave(*dead)
            if len(busy) == len(dead):
                return
            progress("waiting for recorders", len(recorders) - len(busy), len(recorders))
            time.sleep(self._pace.look_s / 2)

    def _check(self) -> None:
        if self.lost or time.monotonic() - self._renewed >= self._pace.lease_s / 2:
            raise StoreUnavailable(
                "the rebuild was interrupted for too long, and recorders may continue", hint="run it again"
            )

    def watched(self, progress: Progress) -> Progress:
        """Return a progress that raises StoreUnavailable when the lease is lost."""

        def report(what: str, done: int, total: int) -> None:
            self._check()
            progress(what, done, total)

        return report

    def give_back(self) -> None:
        """Release the lease, so that recorders continue at once."""
        try:
            if self._signs.held().holder == self._holder:
                self._signs.lease(Held(self._holder, "0"), Held())
        except StoreError:
            pass  # it runs out
