"""Whois in the background: turn waiting bans into look-ups, and answers into amendments of bans.

    ledger: waiting bans ────► queue: questions ─────► pool (threads) ──► registries
         ▲                        ▲                                          │
         │ amend                  │ cache (networks, cells)                  │
         └── answers ◄────────────┴──────────────────────────────────────────┘

Theory of operation. `step` is called between batches and never waits: it processes answers, scans waiting bans, amends
those that the cache can now answer, and sends one question to each registry whose turn it is. An answer is written to
the ledger before any ban is amended by it, so a crash costs at most a repeated question.

If several recorders share a ledger, the holder of the lease asks for all of them; the others follow the indexes of
networks and cells. A recorder that can't reach any registry releases the lease for a while.
"""

from collections.abc import Callable

from banledger.clock import ClockWatch
from banledger.errors import StoreError
from banledger.ledger.heartbeat import WhoisActivity
from banledger.ledger.lease import RENEW_S, Lease
from banledger.ledger.network import Answer, Cell, Network, Outcome, Pause, cell_of
from banledger.ledger.writer import Ledger
from banledger.net.prefix import Block, block
from banledger.whois.follow import Followers
from banledger.whois.locate import Places
from banledger.whois.pool import ThreadPool
from banledger.whois.queue import Backfill, Policy, Question, Queue, failed_cell
from banledger.whois.rdap.bootstrap import Registry
from banledger.whois.throttle import Backoff, Throttle

_AMENDED = 200
"""Bans amended per step: a new ban waits for the ledger that long."""

_LOOK_S = 2.0
_FOLLOW_S = 5.0
_DISMISS_S = 60.0
_REREAD_S = 86_400.0
_FAILURES = 15
"""Consecutive failures after which another recorder may ask."""

_UNREACHABLE_S = 600.0


class Whois:
    """See the module. Used by one thread, which owns the ledger.

    registry_of  the registry of an address (None: there is none). None: look-ups are disabled; the indexes are still
                 followed, and no ban waits
    """

    def __init__(
        self,
        places: Places,
        pool: ThreadPool,
        registry_of: Callable[[str], Registry | None] | None,
        throttle: Throttle,
        policy: Policy,
        watch: ClockWatch,
    ) -> None:
        self._places = places
        self._pool = pool
        self._backoff = Backoff(throttle)
        self._policy = policy
        self._watch = watch
        self._queue = Queue(places, registry_of, throttle.is_paused, watch.elapsed)
        self._backfill = Backfill(places, policy)
        self._followers = Followers(places.cache.read_networks, places.cache.read_cells)
        self._lease = Lease(policy.holder, watch.elapsed)
        self._asks_for_all = False
        self._begun = ("", 0)  # identity of the ledger, jumps of the clock
        self._due: dict[str, float] = {}  # elapsed time of the next run of each task; missing: now
        self._answers: list[tuple[Question, Answer]] = []

    def step(self, ledger: Ledger, now: float) -> None:
        """Do one step (UTC epoch `now`). Raises StoreError, after which it may be called again."""
        if not self.follow(ledger, now):
            return
        self._answers += self._pool.take()
        while self._answers:
            self._take_in(ledger, now)
        if self._is_due("look"):
            self._backfill.enlist(ledger, _AMENDED)
            self._wait("look", self._look(ledger, now))
        if self._queue.registries() and self._leads(ledger, now):
            self._send(now)

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Read a page of the ledger's networks; return whether it was the last."""
        self._watch.see(now)
        if self._begun != (ledger.identity, self._watch.jumps):
            self._begin(ledger, now)
        if ledger.shared and self._is_due("reread"):  # entries from a clock far behind ours are below the window
            self._reread()
        if self._is_due("follow") and (ready := self._followers.read(ledger.networks, now)):
            self._wait("follow", _FOLLOW_S)
            self._places.ready = ready
        return self._places.ready

    def _is_due(self, what: str) -> bool:
        return self._watch.elapsed() >= self._due.get(what, 0.0)

    def _wait(self, what: str, seconds: float) -> None:
        self._due[what] = self._watch.elapsed() + seconds

    def activity(self) -> WhoisActivity:
        """Return what it does, and which registries refuse or can't be reached."""
        doing = "disabled" if not self._queue.asks else "asks" if self._asks_for_all else "follows"
        return WhoisActivity(doing, self._backoff.outages.lasting)

    def leave(self, ledger: Ledger) -> None:
        """Let another recorder ask. Raises StoreError."""
        if self._asks_for_all and ledger.shared:
            self._lease.give_back(ledger.networks.lease)
        self._asks_for_all = False

    def close(self) -> None:
        """Stop."""
        self._pool.close()

    def _begin(self, ledger: Ledger, now: float) -> None:
        """Start with another ledger, or redo the decisions of a wrong clock with the same one.

        These are the window of the indexes, and bans that were too old to look up.
        """
        if ledger.identity != self._begun[0]:
            self._places.ready = False
            self._places.cache.clear()
            self._queue.clear()
            self._due.clear()
        if self._queue.asks:
            self._backfill.begin(ledger, now)
        self._queue.wake()
        self._reread()
        self._begun = (ledger.identity, self._watch.jumps)

    def _reread(self) -> None:
        """Follow the indexes from their beginning; keep what is known."""
        self._wait("reread", _REREAD_S)
        self._followers = Followers(self._places.cache.read_networks, self._places.cache.read_cells)

    def _look(self, ledger: Ledger, now: float) -> float:
        """Amend bans that the cache can answer, and note questions; return the seconds until the next scan."""
        if self._is_due("dismiss"):
            if self._dismiss(ledger, now):
                return 0.0
            self._wait("dismiss", _DISMISS_S)
        if not self._queue.has_news(ledger):
            return 0.0 if self._backfill else _LOOK_S
        self._backoff.apply(ledger.networks.pauses(), now)
        known, nobodys = self._queue.look(ledger, now)
        self._keep(ledger, [], [self._nothing(cell, now) for cell in dict.fromkeys(nobodys)], now)
        ledger.amend(known[:_AMENDED], self._places.locate)
        return 0.0 if len(known) > _AMENDED else _LOOK_S

    def _dismiss(self, ledger: Ledger, now: float) -> bool:
        """Stop the waiting of bans that are too old or too many; return whether there are more. Lease holder only."""
        if not self._queue.asks:
            return ledger.dismiss(0.0, 0, self._places.locate)
        if not self._leads(ledger, now):
            return False
        before = now - self._policy.backfill_s if self._watch.settled else 0.0
        return ledger.dismiss(before, self._policy.most, self._places.locate)

    def _leads(self, ledger: Ledger, now: float) -> bool:
        """Whether this recorder asks for all that share the ledger. An embedded ledger needs no lease."""
        if self._is_due("lease"):
            before = self._asks_for_all
            self._asks_for_all = not ledger.shared or self._lease.take(ledger.networks.lease, now)
            self._wait("lease", RENEW_S)
            if self._asks_for_all and not before:
                self._backoff.throttle.begin()
        return self._asks_for_all

    def _send(self, now: float) -> None:
        """Submit one question for each registry whose turn it is."""
        throttle = self._backoff.throttle
        for name in dict.fromkeys(self._queue.registries()):
            if question := self._queue.next(name, now, lambda one: throttle.try_take(one.name, one.interval_s)):
                self._pool.submit(question)

    def _take_in(self, ledger: Ledger, now: float) -> None:
        """Process the first answer. After a StoreError it stays first; after a bug it is dropped."""
        question, answer = self._answers[0]
        done = True
        try:
            self._answered(ledger, question, answer, now)
        except StoreError:
            done = False
            raise
        finally:
            if done:
                del self._answers[0]
                self._queue.landed(question)

    def _answered(self, ledger: Ledger, question: Question, answer: Answer, now: float) -> None:
        """Process an answer. May be called again with the same answer."""
        name = question.registry.name
        by = answer.by or name
        if answer.outcome is Outcome.LIMITED:
            pause = self._backoff.limited(by, answer.retry_s, now)
            ledger.networks.pause(by, pause)
            if by != name:  # the first registry would redirect us there again
                self._keep(ledger, [], [failed_cell(question.found, answer, now, pause.length_s)], now)
        elif answer.outcome is Outcome.FAILED:
            self._failed(ledger, by, self._backoff.failed(by, answer.problem, now))
            self._keep(ledger, [], [failed_cell(question.found, answer, now)], now)
        else:
            self._backoff.answered(by, name)
            self._learn(ledger, answer, now)
            self._amend(ledger, question.bans)

    def _failed(self, ledger: Ledger, name: str, pause: Pause | None) -> None:
        """Pause a registry after some failures; let another recorder ask after many failures of all."""
        if pause:
            ledger.networks.pause(name, pause)
        if self._backoff.failures % _FAILURES == 0 and ledger.shared:
            self.leave(ledger)
            self._wait("lease", _UNREACHABLE_S)

    def _amend(self, ledger: Ledger, ids: list[str]) -> None:
        """Amend some bans of an answered cell. Scans amend the others, and those that now wait for another cell."""
        known = self._queue.answered(ids)
        ledger.amend(known[:_AMENDED], self._places.locate)
        self._queue.wake()
        if len(known) > _AMENDED:
            self._wait("look", 0.0)

    def _learn(self, ledger: Ledger, answer: Answer, now: float) -> None:
        """Keep an answer, and forget smaller networks that no longer exist."""
        asked, network = block(answer.address), answer.network
        own = network.around(asked) if network else None
        cell = cell_of(asked, own)
        kept = network.cidrs if network and own else ()
        wider = own or cell.at(cell.prefix - 1)
        gone = [cidr for cidr in self._places.cache.inside_of(asked, wider) if cidr not in kept]
        if gone:
            ledger.networks.remove(gone, now)
            for cidr in gone:
                self._places.cache.forget(cidr)
        if network is None or own is None:
            self._keep(ledger, [], [self._nothing(cell, now)], now)
        else:
            found = Cell(cidr=cell.cidr, asked=now, result=Outcome.FOUND, network=own.cidr, asn=answer.asn)
            self._keep(ledger, [network], [found], now)

    def _nothing(self, cell: Block, now: float) -> Cell:
        return Cell(cidr=cell.cidr, asked=now, result=Outcome.NONE, until=now + self._policy.refresh_s)

    def _keep(self, ledger: Ledger, networks: list[Network], cells: list[Cell], now: float) -> None:
        """Write to the ledger first, then to memory."""
        if not cells:
            return
        ledger.networks.put(networks, cells, now)
        for network in networks:
            self._places.cache.learn(network)
        for cell in cells:
            self._places.cache.prove(cell)
