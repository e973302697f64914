"""A rebuild beside living recorders: who rebuilds, and who waits meanwhile. Only where several may write to a store.

Theory of operation. A rebuild holds a lease, kept by renewal as in `lease`. Every recorder writes that it is alive,
and looks at the lease between batches. While it is held, the recorder writes no bans, only that it waits for that
holder. The rebuild begins when each recorder that is alive waits. A recorder that starts says that it is alive before
it looks, and a rebuild takes the lease before it looks for recorders: so one of them sees the other. No clock is
compared with another's: a lease, or a sign of life, that stays the same for `Pace.lease_s` of our own elapsed time has
no living owner.
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
    """Seconds.

    lease_s  after which a lease, or a sign of life, that stays the same has no living owner
    renew_s  how often both are renewed;  look_s: how often a recorder looks at the lease
    """

    lease_s: float = 30.0
    renew_s: float = 5.0
    look_s: float = 0.5


PACE = Pace()


class Signs:
    """The lease and the signs of life in a store."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys

    def held(self) -> Held:
        """The lease."""
        return held_by(self._engine.hashes([self._keys.rebuild])[0])

    def lease(self, wanted: Held, seen: Held) -> Held:
        """See `lease.take`."""
        return take(self._engine, self._keys.rebuild, wanted, seen)

    def beat(self, name: str, word: str) -> None:
        """A recorder is alive."""
        assign(self._engine, self._keys.recorders, {name: word})

    def leave(self, *names: str) -> None:
        """Recorders are alive no longer."""
        self._engine.apply([], [Advance(self._keys.recorders, {}, names)])

    def recorders(self) -> Hash:
        """The recorders, each with its last sign of life: a number that changes, and the holder it waits for."""
        return self._engine.hashes([self._keys.recorders])[0]


class Gate:
    """A recorder's side. `elapsed`: seconds that never go back. Used by one thread."""

    def __init__(self, elapsed: Callable[[], float], pace: Pace = PACE) -> None:
        self._elapsed = elapsed
        self._pace = pace
        self._name = os.urandom(6).hex()
        self._beats = count(1)
        self._watch = Watch(elapsed, Held())
        self._look_at = self._beat_at = 0.0
        self.closed = False

    def look(self, signs: Signs) -> bool:
        """Whether to wait for a rebuild. Asks the store now and then. Raises StoreError."""
        now = self._elapsed()
        if now < self._look_at:
            return self.closed
        self._look_at = now + self._pace.look_s
        if now >= self._beat_at:
            self._beat(signs, now)
        held = signs.held()
        self._watch.see(held)
        at_work = not held.free
        if at_work and self._watch.still_s >= self._pace.lease_s:  # its holder is dead: nobody need wait for that again
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
        """The store was opened anew: say that we are alive, and look, before anything else."""
        self._look_at = self._beat_at = 0.0

    def leave(self, signs: Signs) -> None:
        """We are alive no longer. Raises StoreError."""
        signs.leave(self._name)


@contextmanager
def alone(
    engine: Engine, open_engine: Open, keys: Keyspace, progress: Progress = silent, pace: Pace = PACE
) -> Iterator[Progress]:
    """Nobody else writes to the ledger meanwhile, as far as they honour the lease.

    `open_engine` opens the store once more, to renew the lease in another thread. The progress to report to raises
    StoreUnavailable when the lease is lost. Raises RebuildRunning if another rebuild is at work, StoreError.
    """
    if not engine.shared:  # the lock of the file has done it
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
    """A rebuild's side."""

    def __init__(self, signs: Signs, pace: Pace) -> None:
        self._signs = signs
        self._pace = pace
        self._holder = os.urandom(6).hex()
        self._renewed = time.monotonic()
        self.ended = threading.Event()
        self.lost = False

    def take(self) -> None:
        """Take the lease, from a dead holder too. Raises RebuildRunning."""
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
        """Until every recorder that is alive waits; signs of dead ones are removed."""
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
                "the rebuild was interrupted for too long, and recorders may go on", hint="run it again"
            )

    def watched(self, progress: Progress) -> Progress:
        """The progress to report to."""

        def report(what: str, done: int, total: int) -> None:
            self._check()
            progress(what, done, total)

        return report

    def give_back(self) -> None:
        """Let recorders go on at once."""
        try:
            if self._signs.held().holder == self._holder:
                self._signs.lease(Held(self._holder, "0"), Held())
        except StoreError:
            pass  # it runs out
