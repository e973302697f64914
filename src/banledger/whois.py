"""Whois in the background: from bans that wait for it to look-ups, and from their answers back to the bans.

    ledger: bans that wait ──► who is next? ──► asker (threads) ──► registries
         ▲                        ▲                                    │
         │ amend                  │ cache (networks, cells)            │
         └── answers ◄────────────┴────────────────────────────────────┘

Theory of operation. The queue is in the ledger: a ban that waits stands in its month's `waiting` set until whois has
amended it, so nothing is lost by a restart, whoever crashes. `step` is called between batches and never waits: it
takes in what came, looks at a window of bans that wait, amends those that the cache can answer by now, and asks about
one cell for each registry that may be asked. The window is of the newest bans; where none of them can be asked about
now it moves on to older ones, and back. An answer is kept in the ledger before any ban is amended by it.

Where several recorders share a ledger, the one that holds the lease asks for all of them; the others see what it
learned by following the indexes of networks and cells. Who can't reach any registry gives the lease back for a while.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from banledger.block import Block, block
from banledger.enrich.asker import Asker
from banledger.enrich.cache import Found
from banledger.enrich.pace import Pace
from banledger.enrich.places import Places
from banledger.network import Answer, Cell, Network, Outcome, cell_of
from banledger.record import STALE, WAITS
from banledger.store.follow import Followers
from banledger.store.ledger import Ledger
from banledger.store.networks import NetworksReader

_WINDOW = 2000
"""Bans that wait which are looked at at once."""

_AMENDED = 200
"""Bans that are amended at once: whoever waits for the ledger meanwhile is a new ban."""

_LOOK_S = 2.0
_LOOK_IN_VAIN_S = 5.0
_FOLLOW_S = 5.0
_LEASE_S = 60.0
_FIRST_RETRY_S, _LAST_RETRY_S = 900.0, 86_400.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 60.0, 3600.0
_STRIKES = 3
_UNREACHABLE_S = 600.0

_log = logging.getLogger("banledger")


class Registry(Protocol):
    """Who is asked: its name, and the seconds between two questions."""

    @property
    def name(self) -> str: ...
    @property
    def interval_s(self) -> float: ...


class Case(Struct, frozen=True):
    """What is to be asked: about which address, what was known of it, and the bans that wait for the answer."""

    address: str
    found: Found
    bans: list[str]


class Whois:
    """See the module. Used by one thread, which owns the ledger.

    registry_of  who is to be asked about an address; None: nobody
    holder       our name, where several recorders share a ledger
    most         bans that may wait at once; the oldest beyond that are given up
    backfill_s   bans older than that wait no longer
    """

    def __init__(
        self,
        places: Places,
        asker: Asker,
        registry_of: Callable[[str], Registry | None],
        pace: Pace,
        *,
        holder: str,
        refresh_s: float,
        most: int,
        backfill_s: float,
    ) -> None:
        self._places = places
        self._cache = places.cache
        self._asker = asker
        self._registry_of = registry_of
        self._pace = pace
        self._holder = holder
        self._refresh_s = refresh_s
        self._most = most
        self._backfill_s = backfill_s
        self._followers = Followers(self._take_networks, self._take_cells)
        self._identity = ""
        self._look_at = self._follow_at = self._lease_at = self._dismiss_at = 0.0
        self._window = 0
        self._holds = False
        self._addresses: dict[str, str] = {}
        self._cases: dict[str, dict[Block, Case]] = {}
        self._asked: dict[str, tuple[str, Case]] = {}
        self._strikes: dict[str, int] = {}
        self._pauses: dict[str, float] = {}
        self._unreachable = 0

    def step(self, ledger: Ledger, now: float) -> None:
        """Do what there is to do (UTC epoch `now`). Raises StoreError, after which it may be called again."""
        if not self.follow(ledger, now):
            return
        for answer in self._asker.take():
            self._answered(ledger, answer, now)
        if now >= self._look_at:
            self._look_at = now + self._look(ledger, now)
        if self._cases and self._leads(ledger, now):
            self._send(now)

    def follow(self, ledger: Ledger, now: float) -> bool:
        """Read what the ledger knows of networks, page by page; whether that was all of it."""
        if ledger.identity != self._identity:
            self._begin(ledger)
        if now >= self._follow_at and (ready := self._followers.read(ledger.networks)):
            self._follow_at = now + _FOLLOW_S
            self._places.ready = ready
        return self._places.ready

    def leave(self, ledger: Ledger) -> None:
        """Somebody else may ask now. Raises StoreError."""
        if self._holds:
            ledger.networks.lease(self._holder, 0.0, 0.0)
            self._holds = False

    def close(self) -> None:
        """Ask no more."""
        self._asker.close()

    def _begin(self, ledger: Ledger) -> None:
        """With this ledger, from its beginning."""
        self._identity = ledger.identity
        self._places.ready = False
        self._cache.clear()
        self._followers = Followers(self._take_networks, self._take_cells)
        self._addresses.clear()
        self._cases.clear()
        self._follow_at = self._look_at = 0.0

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

    def _look(self, ledger: Ledger, now: float) -> float:
        """Amend bans of the window that are known by now, note what to ask; seconds until the next look."""
        if now >= self._dismiss_at:
            ledger.dismiss(now - self._backfill_s, self._most)
            self._dismiss_at = now + 60.0
        ids = ledger.newest_waiting(self._window, _WINDOW)
        self._addresses = self._addresses_of(ledger, ids)
        self._pauses = ledger.networks.pauses() if ids else {}
        known, nobodys = self._sort(now)
        self._keep(ledger, [], [self._nothing(cell, now) for cell in nobodys], now)
        ledger.amend(known[:_AMENDED], self._places.locate)
        if len(known) > _AMENDED or nobodys:
            return 0.0
        in_vain = len(ids) == _WINDOW and not self._cases and not known
        self._window = self._window + _WINDOW if in_vain else 0
        return _LOOK_S if self._cases or not ids else _LOOK_IN_VAIN_S

    def _sort(self, now: float) -> tuple[list[str], set[Block]]:
        """Note the cases of bans that can be asked about now; the bans that are known by now, and cells of nobody."""
        known: list[str] = []
        nobodys: set[Block] = set()
        in_flight = {case.found.cell for _, case in self._asked.values()}
        self._cases.clear()
        for id_, address in self._addresses.items():
            found = self._places.found(address)
            if found.standing not in WAITS:
                known.append(id_)
            elif now >= found.until and found.cell not in in_flight:
                registry = self._registry_of(address)
                if registry is None:
                    nobodys.add(found.cell)
                elif now >= self._pauses.get(registry.name, 0.0):
                    cases = self._cases.setdefault(registry.name, {})
                    cases.setdefault(found.cell, Case(address, found, [])).bans.append(id_)
        return known, nobodys

    def _addresses_of(self, ledger: Ledger, ids: list[str]) -> dict[str, str]:
        new = [id_ for id_ in ids if id_ not in self._addresses]
        found = {id_: ban.ip for id_, ban in zip(new, ledger.bans(new), strict=True) if ban is not None and ban.ip}
        return {id_: address for id_ in ids if (address := self._addresses.get(id_) or found.get(id_))}

    # Asking.

    def _leads(self, ledger: Ledger, now: float) -> bool:
        """Whether it is us who ask."""
        if now >= self._lease_at:
            held = self._holds
            self._holds = ledger.networks.lease(self._holder, now, now + _LEASE_S)
            self._lease_at = now + _LEASE_S / 3
            if self._holds and not held:
                self._pace.begin()
        return self._holds

    def _send(self, now: float) -> None:
        """One question for each registry whose turn it is."""
        busy = {name for name, _ in self._asked.values()}
        for name, cases in self._cases.items():
            if name in busy or now < self._pauses.get(name, 0.0) or not cases:
                continue
            cell, case = next(iter(cases.items()))
            registry = self._registry_of(case.address)
            if registry is None or not self._pace.free(name, registry.interval_s):
                continue
            self._pace.take(name, registry.interval_s)
            del cases[cell]
            self._asked[case.address] = name, case
            self._asker.submit(case.address)

    # Answers.

    def _answered(self, ledger: Ledger, answer: Answer, now: float) -> None:
        name, case = self._asked.pop(answer.address)
        if answer.outcome is Outcome.LIMITED:
            self._rest(ledger, name, answer.retry_s, now)
        elif answer.outcome is Outcome.FAILED:
            self._struck(ledger, name, now)
            self._keep(ledger, [], [_failed(case.found, answer, now)], now)
        else:
            self._strikes[name] = self._unreachable = 0
            self._learn(ledger, answer, now)
            self._amend(ledger, case.bans)

    def _amend(self, ledger: Ledger, ids: Iterable[str]) -> None:
        """Bans of a cell that was answered; those that wait for another one now are seen at the next look."""
        known = [
            id_
            for id_ in ids
            if id_ in self._addresses and self._places.found(self._addresses[id_]).standing not in WAITS
        ]
        ledger.amend(known, self._places.locate)
        for id_ in known:
            self._addresses.pop(id_, None)

    def _learn(self, ledger: Ledger, answer: Answer, now: float) -> None:
        """Keep what was answered, and forget smaller networks that it says are no more."""
        asked, network = block(answer.address), answer.network
        own = _containing(network, asked)
        if network is None or own is None:
            self._keep(ledger, [], [self._nothing(cell_of(asked, None), now)], now)
            return
        gone = [cidr for cidr in self._cache.inside_of(asked, own) if cidr not in network.cidrs]
        if gone:
            ledger.networks.remove(gone)
            for cidr in gone:
                self._cache.forget(cidr)
        found = Cell(cidr=cell_of(asked, own).cidr, asked=now, result=Outcome.FOUND, network=own.cidr, asn=answer.asn)
        self._keep(ledger, [network], [found], now)

    def _nothing(self, cell: Block, now: float) -> Cell:
        return Cell(cidr=cell.cidr, asked=now, result=Outcome.NONE, until=now + self._refresh_s)

    def _keep(self, ledger: Ledger, networks: list[Network], cells: list[Cell], now: float) -> None:
        """In the ledger first, then in memory."""
        if not cells:
            return
        ledger.networks.put(networks, cells, now)
        for network in networks:
            self._cache.learn(network)
        for cell in cells:
            self._cache.prove(cell)

    def _rest(self, ledger: Ledger, name: str, retry_s: float, now: float) -> None:
        """A registry wants to be left alone."""
        self._strikes[name] = strikes = self._strikes.get(name, 0) + 1
        pause = retry_s or _growing(_FIRST_PAUSE_S, _LAST_PAUSE_S, strikes)
        self._pauses[name] = now + pause
        ledger.networks.pause(name, now + pause)
        if strikes == 1:
            _log.info("whois: %s asks for a pause of %d s", name, pause)

    def _struck(self, ledger: Ledger, name: str, now: float) -> None:
        """A failure: after some of a registry it is left alone; after many of all, somebody else may ask."""
        self._strikes[name] = strikes = self._strikes.get(name, 0) + 1
        self._unreachable += 1
        if strikes >= _STRIKES:
            self._pauses[name] = now + _growing(_FIRST_PAUSE_S, _LAST_PAUSE_S, strikes - _STRIKES + 1)
            ledger.networks.pause(name, self._pauses[name])
        if self._unreachable % (5 * _STRIKES) == 0:
            self.leave(ledger)
            self._lease_at = now + _UNREACHABLE_S


def _containing(network: Network | None, asked: Block) -> Block | None:
    """The CIDR of a record that covers `asked`, the smallest."""
    covering = [there for there in map(block, network.cidrs if network else ()) if there.covers(asked)]
    return max(covering, key=lambda there: there.prefix, default=None)


def _failed(found: Found, answer: Answer, now: float) -> Cell:
    """A cell that could not be asked about. What was known of it before stands."""
    tries = found.tries + 1
    known = found.known if found.standing == STALE else None
    return Cell(
        cidr=found.cell.cidr,
        asked=found.asked if known else now,
        result=Outcome.FOUND if known else Outcome.FAILED,
        network=known.cidr if known else None,
        asn=found.asn if known else None,
        until=now + _growing(_FIRST_RETRY_S, _LAST_RETRY_S, tries),
        tries=tries,
        problem=answer.problem,
    )


def _growing(first: float, last: float, number: int) -> float:
    """Twice as long every time."""
    return min(last, first * 2.0 ** (min(number, 20) - 1))
