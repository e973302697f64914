"""The queue: bans that wait for whois, and the look-ups that they need.

Theory of operation. The queue is in the ledger: a waiting ban is in its month's `waiting` set until whois has amended
it. Each scan takes the page of the newest bans and one older page in turn, and sorts them: bans that the cache can now
answer, cells that no registry has, and one question for each cell that may be looked up. After a scan without result,
the next one waits for a new ban, or for a while.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from msgspec import Struct

from banledger.ledger.ban import STALE, WAITS
from banledger.ledger.network import Answer, Cell, Outcome
from banledger.ledger.writer import Ledger
from banledger.net.prefix import Block
from banledger.whois.locate import Places
from banledger.whois.rdap.bootstrap import Registry
from banledger.whois.rule import Knowledge

PAGE = 2000
"""Waiting bans per scan."""

_QUESTIONS = 200
"""Questions per registry that are kept from older pages."""

_LOOK_IN_VAIN_S = 60.0
_FIRST_RETRY_S, _LAST_RETRY_S = 900.0, 86_400.0


class Policy(Struct, frozen=True):
    """Limits of whois.

    holder       our name among the recorders of a shared ledger
    refresh_s    how long an answer is fresh
    most         bans that may wait at once; beyond that the oldest stop waiting
    backfill_s   older bans do not wait
    """

    holder: str
    refresh_s: float
    most: int
    backfill_s: float


class Question(Struct, frozen=True):
    """One look-up: its registry, its address, what was known before, and the bans that wait for the answer."""

    registry: Registry
    address: str
    found: Knowledge
    bans: list[str]


class Queue:
    """See the module. Used by one thread.

    registry_of  the registry of an address; None: there is none
    is_paused    whether a registry (by name) is paused
    elapsed      elapsed seconds

    `asks`: whether look-ups are enabled.
    """

    def __init__(
        self,
        places: Places,
        registry_of: Callable[[str], Registry | None] | None,
        is_paused: Callable[[str], bool],
        elapsed: Callable[[], float],
    ) -> None:
        self.asks = registry_of is not None
        self._places = places
        self._registry_of = registry_of
        self._is_paused = is_paused
        self._elapsed = elapsed
        self._head: list[str] = []
        self._deep = PAGE
        self._vain_until = 0.0
        self._addresses: dict[str, str] = {}
        self._newest: dict[str, dict[Block, Question]] = {}
        self._others: dict[str, dict[Block, Question]] = {}
        self._in_flight: dict[str, Question] = {}

    def clear(self) -> None:
        """Forget everything: the ledger has changed."""
        self._head = []
        self._addresses = {}
        self._newest, self._others = {}, {}
        self._vain_until = 0.0

    def wake(self) -> None:
        """Scan again at the next step, even without new bans."""
        self._vain_until = 0.0

    def has_news(self, ledger: Ledger) -> bool:
        """Whether another scan may find more than the last one."""
        head = ledger.newest_waiting(0, 1)
        if not head or (head == self._head and self._elapsed() < self._vain_until):
            return False
        self._head = head
        return True

    def look(self, ledger: Ledger, now: float) -> tuple[list[str], list[Block]]:
        """Sort the newest page and one older page. If nothing is left to do, the next scan waits.

        Returns ids of bans that the cache can now answer, and cells that no registry has.
        """
        ids = ledger.newest_waiting(0, PAGE)
        self._addresses = self._addresses_of(ledger, ids, self._addresses)
        self._newest = {}
        known, nobodys = self._sort(self._addresses, self._newest, None, now)
        whole = len(ids) < PAGE
        if not whole:
            ids = ledger.newest_waiting(self._deep, PAGE)
            whole = len(ids) < PAGE
            self._deep = PAGE if whole else self._deep + PAGE
            older = self._sort(self._addresses_of(ledger, ids, {}), self._others, _QUESTIONS, now)
            known, nobodys = known + older[0], nobodys + older[1]
        busy = known or nobodys or self.registries() or self._in_flight
        self._vain_until = self._elapsed() + _LOOK_IN_VAIN_S if whole and not busy else 0.0
        return known, nobodys

    def registries(self) -> list[str]:
        """Names of registries with questions."""
        return [name for questions in (self._newest, self._others) for name, some in questions.items() if some]

    def next(self, name: str, now: float, may_ask: Callable[[Registry], bool]) -> Question | None:
        """The next question for a registry that is still open, if the registry may be asked now and is idle.

        The question is in flight until `landed`.
        """
        if name in self._in_flight:
            return None
        for questions in (self._newest, self._others):
            cells = questions.get(name, {})
            for cell, question in list(cells.items()):
                found = self._places.found(question.address)
                still = found.standing in WAITS and is_due(found, now)
                if still and not may_ask(question.registry):
                    return None
                del cells[cell]
                if still:
                    self._in_flight[name] = question
                    return question
        return None

    def landed(self, question: Question) -> None:
        """Note that its look-up has ended."""
        del self._in_flight[question.registry.name]

    def answered(self, ids: Collection[str]) -> list[str]:
        """Bans of the newest page that no longer wait."""
        return [
            id_
            for id_ in ids
            if id_ in self._addresses and self._places.found(self._addresses[id_]).standing not in WAITS
        ]

    def _addresses_of(self, ledger: Ledger, ids: list[str], have: Mapping[str, str]) -> dict[str, str]:
        new = [id_ for id_ in ids if id_ not in have]
        found = {id_: ban.ip for id_, ban in zip(new, ledger.bans(new), strict=True) if ban is not None and ban.ip}
        return {id_: address for id_ in ids if (address := have.get(id_) or found.get(id_))}

    def _sort(
        self,
        addresses: Mapping[str, str],
        questions: dict[str, dict[Block, Question]],
        most: int | None,
        now: float,
    ) -> tuple[list[str], list[Block]]:
        """Note the questions of these bans, up to a limit per registry; known bans; cells that no registry has."""
        known: list[str] = []
        nobodys: dict[Block, None] = {}
        in_flight = {question.found.cell for question in self._in_flight.values()}
        for id_, address in addresses.items():
            found = self._places.found(address)
            if found.standing not in WAITS:
                known.append(id_)
            elif self._registry_of and is_due(found, now) and found.cell not in in_flight:
                registry = self._registry_of(address)
                if registry is None:
                    nobodys[found.cell] = None
                elif not self._is_paused(registry.name):
                    cells = questions.setdefault(registry.name, {})
                    if most is None or len(cells) < most or found.cell in cells:
                        cells.setdefault(found.cell, Question(registry, address, found, [])).bans.append(id_)
        return known, list(nobodys)


class Backfill:
    """Bans of the last days that were recorded while look-ups were disabled. Used by one thread."""

    def __init__(self, places: Places, policy: Policy) -> None:
        self._places = places
        self._policy = policy
        self._ids: list[str] = []
        self._days: list[str] = []

    def begin(self, ledger: Ledger, now: float) -> None:
        """Start with the local days of the backfill period, newest first (UTC epoch `now`). Raises StoreError."""
        first = datetime.fromtimestamp(max(0.0, now - self._policy.backfill_s), ledger.zone).date().isoformat()
        self._ids, self._days = [], [day for day in ledger.days() if day >= first]

    def __bool__(self) -> bool:
        return bool(self._ids or self._days)

    def enlist(self, ledger: Ledger, most: int) -> None:
        """Make up to `most` of them wait, newest first. Raises StoreError."""
        if self._days and ledger.waiting() >= self._policy.most:
            self._ids, self._days = [], []
        if not self._ids and self._days:
            self._ids = ledger.ids_of_day(self._days.pop())
        some, self._ids = self._ids[:most], self._ids[most:]
        unasked = [ban.id for ban in ledger.bans(some) if ban is not None and ban.whois is None and ban.country]
        ledger.amend(unasked, self._places.locate)


def is_due(found: Knowledge, now: float) -> bool:
    """Whether its cell may be looked up again. A time further ahead than we ever set comes from a wrong clock."""
    return not 0 < found.until - now <= _LAST_RETRY_S


def failed_cell(found: Knowledge, answer: Answer, now: float, wait_s: float = 0.0) -> Cell:
    """The record of a failed look-up. Earlier knowledge stays."""
    tries = found.tries + 1
    known = found.known if found.standing == STALE else None
    return Cell(
        cidr=found.cell.cidr,
        asked=found.asked if known else now,
        result=Outcome.FOUND if known else Outcome.FAILED,
        network=known.cidr if known else None,
        asn=found.asn if known else None,
        until=now + (min(wait_s, _LAST_RETRY_S) or doubled(_FIRST_RETRY_S, _LAST_RETRY_S, tries)),
        tries=tries,
        problem=answer.problem,
    )


def doubled(first: float, last: float, number: int) -> float:
    """`first`, doubled with each number after 1, at most `last`."""
    return min(last, first * 2.0 ** (min(number, 20) - 1))
