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
from datetime import datetime

from banledger.clock import ClockWatch
from banledger.errors import StoreError
from banledger.ledger.network import Answer, Cell, Network, Outcome, Pause, cell_of
from banledger.ledger.networks import NetworksReader
from banledger.ledger.writer import Ledger
from banledger.net.prefix import Block, block
from banledger.whois.follow import Followers
from banledger.whois.lease import RENEW_S, Lease
from banledger.whois.locate import Places
from banledger.whois.pool import Pool
from banledger.whois.queue import AskedRegistry, Backfill, Policy, Question, Queue, failed_cell
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
        pool: Pool,
        registry_of: Callable[[str], AskedRegistry | None] | None,
        throttle: Throttle,
        policy: Policy,
        watch: ClockWatch,
    ) -> None:
        self._places = places
        self._cache = places.cache
        self._pool = pool
        self._asks = registry_of is not None
        self._throttle = throttle
        self._backoff = Backoff(throttle)
        self._policy = policy
        self._watch = watch
        self._queue = Queue(places, registry_of, throttle.is_paused, watch.elapsed)
        self._backfill = Backfill(places, policy)
        self._followers = Followers(self._take_networks, self._take_cells)
        self._turn = _AskingTurn(Lease(policy.holder, watch.elapsed), watch.elapsed)
        self._identity = ""
        self._jumps = 0
        self._reread_at = self._look_at = self._follow_at = self._dismiss_at = 0.0
        self._in_flight: dict[str, Question] = {}
        self._answers: list[tuple[Question, Answer]] = []

    def step(self, ledger: Ledger, now: float) -> None:
        """Do one step (UTC epoch `now`). Raises StoreError, after which it may be called again."""
        if not self.follow(ledger, now):
            return
        self._answers += self._pool.take()
        while self._answers:
            self._take_in(ledger, *self._answers[0], now)
        if self._watch.elapsed() >= self._look_at:
            self._backfill.enlist(ledger, _AMENDED)
            wait_s = self._look(ledger, now)
            self._look_at = self._watch.elapsed() + wait_s
        if self._asks and self._queue.registries() and self._leads(ledger, now):
            self._send(now)

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Read a page of the ledger's networks; return whether it was the last."""
        self._watch.see(now)
        if ledger.identity != self._identity:
            self._begin(ledger, now)
        elif self._watch.jumps != self._jumps:
            self._begin_again(ledger, now)
        elapsed = self._watch.elapsed()
        if ledger.shared and elapsed >= self._reread_at:  # entries from a clock far behind ours are below the window
            self._reread()
        if elapsed >= self._follow_at and (ready := self._followers.read(ledger.networks, now)):
            self._follow_at = elapsed + _FOLLOW_S
            self._places.ready = ready
        return self._places.ready

    def leave(self, ledger: Ledger) -> None:
        """Let another recorder ask. Raises StoreError."""
        self._turn.give_back(ledger, wait_s=0.0)

    def close(self) -> None:
        """Stop."""
        self._pool.close()

    def _begin(self, ledger: Ledger, now: float) -> None:
        """Start again with this ledger."""
        self._begin_again(ledger, now)
        self._identity = ledger.identity
        self._places.ready = False
        self._cache.clear()
        self._queue.clear()
        self._follow_at = self._look_at = 0.0

    def _begin_again(self, ledger: Ledger, now: float) -> None:
        """Redo decisions of a wrong clock: the window of the indexes, and bans that were too old to look up."""
        self._jumps = self._watch.jumps
        first = datetime.fromtimestamp(max(0.0, now - self._policy.backfill_s), ledger.zone).date().isoformat()
        self._backfill.begin([day for day in ledger.days() if self._asks and day >= first])
        self._queue.wake()
        self._reread()

    def _reread(self) -> None:
        """Follow the indexes from their beginning; keep what is known."""
        self._reread_at = self._watch.elapsed() + _REREAD_S
        self._followers = Followers(self._take_networks, self._take_cells)

    def _take_networks(self, networks: NetworksReader, cidrs: list[str]) -> None:
        for cidr, network in zip(cidrs, networks.networks(cidrs), strict=True):
            if network is None:
                self._cache.forget(cidr)
            else:
                self._cache.learn(network)

    def _take_cells(self, networks: NetworksReader, cidrs: list[str]) -> None:
        for cell in networks.cells(cidrs):
            if cell is not None:
                self._cache.prove(cell)

    def _look(self, ledger: Ledger, now: float) -> float:
        """Amend bans that the cache can answer, and note questions; return the seconds until the next scan."""
        if self._watch.elapsed() >= self._dismiss_at:
            more = self._dismiss(ledger, now)
            self._dismiss_at = self._watch.elapsed() + (0.0 if more else _DISMISS_S)
            if more:
                return 0.0
        if not self._queue.has_news(ledger):
            return 0.0 if self._backfill else _LOOK_S
        self._backoff.apply(ledger.networks.pauses(), now)
        look = self._queue.look(ledger, now, {question.found.cell for question in self._in_flight.values()})
        self._keep(ledger, [], [self._nothing(cell, now) for cell in dict.fromkeys(look.nobodys)], now)
        ledger.amend(look.known[:_AMENDED], self._places.locate)
        busy = look.known or look.nobodys or self._queue.registries() or self._in_flight
        self._queue.looked(in_vain=look.whole and not busy)
        return 0.0 if len(look.known) > _AMENDED else _LOOK_S

    def _dismiss(self, ledger: Ledger, now: float) -> bool:
        """Stop the waiting of bans that are too old or too many; return whether there are more. Lease holder only."""
        if not self._asks:
            return ledger.dismiss(0.0, 0, self._places.locate)
        if not self._leads(ledger, now):
            return False
        before = now - self._policy.backfill_s if self._watch.settled else 0.0
        return ledger.dismiss(before, self._policy.most, self._places.locate)

    def _leads(self, ledger: Ledger, now: float) -> bool:
        """Whether this recorder asks for all recorders."""
        held = self._turn.held
        if self._turn.take(ledger, now) and not held:
            self._throttle.begin()
        return self._turn.held

    def _send(self, now: float) -> None:
        """Submit one question for each registry whose turn it is."""
        for name in dict.fromkeys(self._queue.registries()):
            if name not in self._in_flight:
                question = self._queue.next(name, now, lambda one: self._throttle.try_take(one.name, one.interval_s))
                if question is not None:
                    self._in_flight[name] = question
                    self._pool.submit(question)

    def _take_in(self, ledger: Ledger, question: Question, answer: Answer, now: float) -> None:
        """Process the first answer. After a StoreError it stays first; after a bug it is dropped."""
        try:
            if self._in_flight.get(question.registry.name) is question:
                self._answered(ledger, question, answer, now)
        except StoreError:
            raise
        except Exception:
            self._drop(question)
            raise
        self._drop(question)

    def _drop(self, question: Question) -> None:
        del self._answers[0]
        if self._in_flight.get(question.registry.name) is question:
            del self._in_flight[question.registry.name]

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
            self._turn.give_back(ledger, wait_s=_UNREACHABLE_S)

    def _amend(self, ledger: Ledger, ids: list[str]) -> None:
        """Amend some bans of an answered cell. Scans amend the others, and those that now wait for another cell."""
        known = self._queue.answered(ids)
        ledger.amend(known[:_AMENDED], self._places.locate)
        self._queue.wake()
        if len(known) > _AMENDED:
            self._look_at = 0.0

    def _learn(self, ledger: Ledger, answer: Answer, now: float) -> None:
        """Keep an answer, and forget smaller networks that no longer exist."""
        asked, network = block(answer.address), answer.network
        own = network.around(asked) if network else None
        cell = cell_of(asked, own)
        kept = network.cidrs if network and own else ()
        wider = own or cell.at(cell.prefix - 1)
        gone = [cidr for cidr in self._cache.inside_of(asked, wider) if cidr not in kept]
        if gone:
            ledger.networks.remove(gone, now)
            for cidr in gone:
                self._cache.forget(cidr)
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
            self._cache.learn(network)
        for cell in cells:
            self._cache.prove(cell)


class _AskingTurn:
    """Whether this recorder asks for all that share a ledger. An embedded ledger needs no lease."""

    def __init__(self, lease: Lease, elapsed: Callable[[], float]) -> None:
        self.held = False
        self._lease = lease
        self._elapsed = elapsed
        self._renew_at = 0.0

    def take(self, ledger: Ledger, now: float) -> bool:
        """Take or renew the lease when it is due (UTC epoch `now`); return whether it is ours. Raises StoreError."""
        elapsed = self._elapsed()
        if elapsed >= self._renew_at:
            self.held = not ledger.shared or self._lease.take(ledger.networks, now)
            self._renew_at = elapsed + RENEW_S
        return self.held

    def give_back(self, ledger: Ledger, wait_s: float) -> None:
        """Release the lease, and don't take it again for `seconds`. Raises StoreError."""
        if self.held and ledger.shared:
            self._lease.give_back(ledger.networks)
        self.held = False
        if wait_s:
            self._renew_at = self._elapsed() + wait_s
