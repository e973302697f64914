"""Whois in the background: from bans that wait for it to look-ups, and from their answers back to the bans.

    ledger: bans that wait ──► who is next? ──► asker (threads) ──► registries
         ▲                        ▲                                    │
         │ amend                  │ cache (networks, cells)            │
         └── answers ◄────────────┴────────────────────────────────────┘

Theory of operation. The queue is in the ledger: a ban that waits stands in its month's `waiting` set until whois has
amended it, so nothing is lost by a restart, whoever crashes. `step` is called between batches and never waits: it
takes in what came, looks at bans that wait, amends those that the cache can answer by now, and asks about one cell for
each registry that may be asked. It looks at two pages at a time: at that of the newest bans, and for registries that
have no case there at one of the others, in turn. Where all of that was in vain it looks again when a new ban waits, or
after a while. An answer is kept in the ledger before any ban is amended by it.

Where several recorders share a ledger, the one that holds the lease asks for all of them; the others see what it
learned by following the indexes of networks and cells. Who can't reach any registry gives the lease back for a while.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from banledger.clock import ClockWatch
from banledger.errors import StoreError
from banledger.ledger.ban import WAITS
from banledger.ledger.network import LONGEST_PAUSE_S, Answer, Cell, Network, Outcome, Pause, cell_of
from banledger.ledger.networks import NetworksReader
from banledger.ledger.writer import Ledger
from banledger.net.prefix import Block, block
from banledger.whois.follow import Followers
from banledger.whois.lease import RENEW_S, Lease
from banledger.whois.locate import Places
from banledger.whois.outages import Troubles
from banledger.whois.pool import Asker
from banledger.whois.queue import Case, Cases, Policy, Registry, due, failed, growing
from banledger.whois.throttle import Pace

_PAGE = 2000
"""Bans that wait which are looked at at once."""

_AMENDED = 200
"""Bans that are amended at once: whoever waits for the ledger meanwhile is a new ban."""

_CASES = 200
"""Cases of a registry that are noted from other pages than the first."""

_LOOK_S = 2.0
_LOOK_IN_VAIN_S = 60.0
_FOLLOW_S = 5.0
_DISMISS_S = 60.0
_REREAD_S = 86_400.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 60.0, 3600.0
_STRIKES = 3
_UNREACHABLE_S = 600.0


class Whois:
    """See the module. Used by one thread, which owns the ledger.

    registry_of  who is to be asked about an address (None: nobody has it). None: nobody is to be asked at all; then
                 what is known is followed all the same, and no ban waits
    """

    def __init__(
        self,
        places: Places,
        asker: Asker,
        registry_of: Callable[[str], Registry | None] | None,
        pace: Pace,
        policy: Policy,
        watch: ClockWatch,
    ) -> None:
        self._places = places
        self._cache = places.cache
        self._asker = asker
        self._registry_of = registry_of
        self._pace = pace
        self._policy = policy
        self._followers = Followers(self._take_networks, self._take_cells)
        self._identity = ""
        self._watch = watch
        self._jumps = 0
        self._lease = Lease(policy.holder, watch.elapsed)
        self._reread_at = 0.0
        self._look_at = self._follow_at = self._lease_at = self._dismiss_at = 0.0
        self._holds = False
        self._unasked: list[str] = []
        self._unasked_days: list[str] = []
        self._head: list[str] = []
        self._deep = _PAGE
        self._vain_until = 0.0
        self._addresses: dict[str, str] = {}
        self._newest, self._others = Cases(), Cases()
        self._asked: dict[str, tuple[str, Case]] = {}
        self._answers: list[Answer] = []
        self._strikes: dict[str, int] = {}
        self._heeded: dict[str, Pause] = {}
        self._unreachable = 0
        self._troubles = Troubles()

    def step(self, ledger: Ledger, now: float) -> None:
        """Do what there is to do (UTC epoch `now`). Raises StoreError, after which it may be called again."""
        if not self.follow(ledger, now):
            return
        self._answers += self._asker.take()
        while self._answers:
            self._take_in(ledger, self._answers[0], now)
        if self._watch.elapsed() >= self._look_at:
            self._enlist_unasked(ledger)
            wait_s = self._look(ledger, now)
            self._look_at = self._watch.elapsed() + wait_s
        if self._registry_of and self._cases() and self._leads(ledger, now):
            self._send(now)

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Read what the ledger knows of networks, page by page; whether that was all of it."""
        self._watch.see(now)
        if ledger.identity != self._identity:
            self._begin(ledger, now)
        elif self._watch.jumps != self._jumps:
            self._begin_again(ledger, now)
        elapsed = self._watch.elapsed()
        if ledger.shared and elapsed >= self._reread_at:  # what a clock far behind ours put is below the window
            self._reread()
        if elapsed >= self._follow_at and (ready := self._followers.read(ledger.networks, now)):
            self._follow_at = elapsed + _FOLLOW_S
            self._places.ready = ready
        return self._places.ready

    def leave(self, ledger: Ledger) -> None:
        """Somebody else may ask now. Raises StoreError."""
        if self._holds and ledger.shared:
            self._lease.give_back(ledger.networks)
        self._holds = False

    def close(self) -> None:
        """Ask no more."""
        self._asker.close()

    def _begin(self, ledger: Ledger, now: float) -> None:
        """With this ledger, from its beginning."""
        self._begin_again(ledger, now)
        self._identity = ledger.identity
        self._places.ready = False
        self._cache.clear()
        self._addresses.clear()
        self._newest, self._others = Cases(), Cases()
        self._follow_at = self._look_at = 0.0

    def _begin_again(self, ledger: Ledger, now: float) -> None:
        """Redo what was decided by a clock that was wrong: the window of the indexes, and who is not asked about."""
        self._jumps = self._watch.jumps
        first = datetime.fromtimestamp(max(0.0, now - self._policy.backfill_s), ledger.zone).date().isoformat()
        self._unasked = []
        self._unasked_days = [day for day in ledger.days() if self._registry_of and day >= first]
        self._vain_until = 0.0
        self._reread()

    def _reread(self) -> None:
        """Follow the indexes from their beginning; what is known stays."""
        self._reread_at = self._watch.elapsed() + _REREAD_S
        self._followers = Followers(self._take_networks, self._take_cells)

    # What others learned, and what was known before.

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

    # Who waits, and for what.

    def _enlist_unasked(self, ledger: Ledger) -> None:
        """Some of the last days' bans that were recorded when nobody was to be asked: now they wait, newest first."""
        if self._unasked_days and ledger.waiting() >= self._policy.most:
            self._unasked, self._unasked_days = [], []
        if not self._unasked and self._unasked_days:
            self._unasked = ledger.ids_of_day(self._unasked_days.pop())
        some, self._unasked = self._unasked[:_AMENDED], self._unasked[_AMENDED:]
        unasked = [ban.id for ban in ledger.bans(some) if ban is not None and ban.whois is None and ban.country]
        ledger.amend(unasked, self._places.locate)

    def _look(self, ledger: Ledger, now: float) -> float:
        """Amend bans that are known by now, note what is to be asked; seconds until the next look."""
        if self._watch.elapsed() >= self._dismiss_at:
            more = self._dismiss(ledger, now)
            self._dismiss_at = self._watch.elapsed() + (0.0 if more else _DISMISS_S)
            if more:
                return 0.0
        head = ledger.newest_waiting(0, 1)
        if not head or (head == self._head and self._watch.elapsed() < self._vain_until):
            return 0.0 if self._unasked or self._unasked_days else _LOOK_S
        self._head = head
        self._heed(ledger.networks.pauses(), now)
        self._newest = Cases()
        ids = ledger.newest_waiting(0, _PAGE)
        self._addresses = self._addresses_of(ledger, ids, self._addresses)
        known, nobodys = self._sort(self._addresses, self._newest, None, now)
        over = len(ids) < _PAGE or self._look_deeper(ledger, known, nobodys, now)
        self._keep(ledger, [], [self._nothing(cell, now) for cell in dict.fromkeys(nobodys)], now)
        ledger.amend(known[:_AMENDED], self._places.locate)
        vain = over and not (known or nobodys or self._cases() or self._asked)
        self._vain_until = self._watch.elapsed() + _LOOK_IN_VAIN_S if vain else 0.0
        return 0.0 if len(known) > _AMENDED else _LOOK_S

    def _look_deeper(self, ledger: Ledger, known: list[str], nobodys: list[Block], now: float) -> bool:
        """One page of older bans, likewise; whether it was the last page."""
        ids = ledger.newest_waiting(self._deep, _PAGE)
        over = len(ids) < _PAGE
        self._deep = _PAGE if over else self._deep + _PAGE
        found = self._sort(self._addresses_of(ledger, ids, {}), self._others, _CASES, now)
        known += found[0]
        nobodys += found[1]
        return over

    def _dismiss(self, ledger: Ledger, now: float) -> bool:
        """Bans that wait in vain; whether there are more. Who asks for all decides for all."""
        if self._registry_of is None:
            return ledger.dismiss(0.0, 0, self._places.locate)
        if not self._leads(ledger, now):
            return False
        before = now - self._policy.backfill_s if self._watch.settled else 0.0
        return ledger.dismiss(before, self._policy.most, self._places.locate)

    def _heed(self, pauses: Mapping[str, Pause], now: float) -> None:
        """Honour pauses that other recorders recorded, each once: from then on elapsed time decides."""
        for name, pause in pauses.items():
            if self._heeded.get(name) != pause and (left_s := pause.left_s(now)):
                self._heeded[name] = pause
                self._pace.rest(name, left_s)

    def _pause(self, ledger: Ledger, name: str, seconds: float, now: float) -> None:
        """Leave a registry alone, and tell the other recorders."""
        self._heeded[name] = pause = Pause(now + seconds, seconds)
        self._pace.rest(name, seconds)
        ledger.networks.pause(name, pause)

    def _addresses_of(self, ledger: Ledger, ids: list[str], have: Mapping[str, str]) -> dict[str, str]:
        new = [id_ for id_ in ids if id_ not in have]
        found = {id_: ban.ip for id_, ban in zip(new, ledger.bans(new), strict=True) if ban is not None and ban.ip}
        return {id_: address for id_ in ids if (address := have.get(id_) or found.get(id_))}

    def _sort(
        self, addresses: Mapping[str, str], cases: Cases, most: int | None, now: float
    ) -> tuple[list[str], list[Block]]:
        """Note the cases of bans that can be asked about now; the bans that are known by now, and cells of nobody."""
        known: list[str] = []
        nobodys: list[Block] = []
        in_flight = {case.found.cell for _, case in self._asked.values()}
        for id_, address in addresses.items():
            found = self._places.found(address)
            if found.standing not in WAITS:
                known.append(id_)
            elif self._registry_of and due(found, now) and found.cell not in in_flight:
                registry = self._registry_of(address)
                if registry is None:
                    nobodys.append(found.cell)
                elif not self._pace.rests(registry.name):
                    cases.note(registry.name, id_, address, found, most)
        return known, nobodys

    # Asking.

    def _cases(self) -> list[str]:
        return [*self._newest.registries(), *self._others.registries()]

    def _leads(self, ledger: Ledger, now: float) -> bool:
        """Whether it is us who ask. Nobody else does where the ledger is ours alone."""
        asked = self._watch.elapsed()
        if asked >= self._lease_at:
            held = self._holds
            self._holds = not ledger.shared or self._lease.take(ledger.networks, now)
            self._lease_at = asked + RENEW_S
            if self._holds and not held:
                self._pace.begin()
        return self._holds

    def _send(self, now: float) -> None:
        """One question for each registry whose turn it is."""
        busy = {name for name, _ in self._asked.values()}
        for name in dict.fromkeys(self._cases()):
            case = None if name in busy else self._next(name, now)
            if case is not None:
                self._asked[case.address] = name, case
                self._asker.submit(case.address)

    def _next(self, name: str, now: float) -> Case | None:
        """The next case of a registry that is still one, if the registry may be asked now."""
        for cases in (self._newest, self._others):
            while (case := cases.first(name)) is not None:
                found = self._places.found(case.address)
                registry = self._registry_of(case.address) if self._registry_of else None
                is_one = registry is not None and found.standing in WAITS and due(found, now)
                if registry and is_one and not self._pace.try_take(name, registry.interval_s):
                    return None
                cases.drop(name)
                if is_one:
                    return case
        return None

    # Answers.

    def _take_in(self, ledger: Ledger, answer: Answer, now: float) -> None:
        """Take in the first answer. Where the store fails it stays the first one; where we do it is given up."""
        try:
            if answer.address in self._asked:
                self._answered(ledger, answer, now)
        except StoreError:
            raise
        except Exception:
            self._drop(answer)
            raise
        self._drop(answer)

    def _drop(self, answer: Answer) -> None:
        self._answers.remove(answer)
        self._asked.pop(answer.address, None)

    def _answered(self, ledger: Ledger, answer: Answer, now: float) -> None:
        """What came. May be called again with the same answer."""
        name, case = self._asked[answer.address]
        by = answer.by or name
        if answer.outcome is Outcome.LIMITED:
            pause = self._rest(ledger, by, answer.retry_s, now)
            if by != name:  # the first one would send us there again
                self._keep(ledger, [], [failed(case.found, answer, now, pause)], now)
        elif answer.outcome is Outcome.FAILED:
            self._struck(ledger, by, answer.problem, now)
            self._keep(ledger, [], [failed(case.found, answer, now)], now)
        else:
            self._strikes[by] = self._strikes[name] = self._unreachable = 0
            self._troubles.over(by)
            self._troubles.over(name)
            self._learn(ledger, answer, now)
            self._amend(ledger, case.bans)

    def _amend(self, ledger: Ledger, ids: Iterable[str]) -> None:
        """Some bans of a cell that was answered; the others, and those that wait for another one now, see `_look`."""
        known = [
            id_
            for id_ in ids
            if id_ in self._addresses and self._places.found(self._addresses[id_]).standing not in WAITS
        ]
        ledger.amend(known[:_AMENDED], self._places.locate)
        self._vain_until = 0.0
        if len(known) > _AMENDED:
            self._look_at = 0.0

    def _learn(self, ledger: Ledger, answer: Answer, now: float) -> None:
        """Keep what was answered, and forget smaller networks that it says are no more."""
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
        """In the ledger first, then in memory."""
        if not cells:
            return
        ledger.networks.put(networks, cells, now)
        for network in networks:
            self._cache.learn(network)
        for cell in cells:
            self._cache.prove(cell)

    def _rest(self, ledger: Ledger, name: str, retry_s: float, now: float) -> float:
        """A registry wants to be left alone; for how many seconds."""
        self._strikes[name] = strikes = self._strikes.get(name, 0) + 1
        pause = min(retry_s or growing(_FIRST_PAUSE_S, _LAST_PAUSE_S, strikes), LONGEST_PAUSE_S)
        self._pause(ledger, name, pause, now)
        self._troubles.limited(name, pause, now)
        return pause

    def _struck(self, ledger: Ledger, name: str, problem: str, now: float) -> None:
        """A failure: after some of a registry it is left alone; after many of all, somebody else may ask."""
        self._strikes[name] = strikes = self._strikes.get(name, 0) + 1
        self._unreachable += 1
        if strikes >= _STRIKES:
            pause = growing(_FIRST_PAUSE_S, _LAST_PAUSE_S, strikes - _STRIKES + 1)
            self._pause(ledger, name, pause, now)
            self._troubles.unreachable(name, problem, now)
        if self._unreachable % (5 * _STRIKES) == 0 and ledger.shared:
            self.leave(ledger)
            self._lease_at = self._watch.elapsed() + _UNREACHABLE_S
