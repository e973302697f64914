"""What is to be asked, of whom, and when again: rules of whois. Pure."""

from typing import Protocol

from msgspec import Struct

from banledger.ledger.ban import STALE
from banledger.ledger.network import Answer, Cell, Outcome
from banledger.net.prefix import Block
from banledger.whois.rule import Knowledge

_FIRST_RETRY_S, _LAST_RETRY_S = 900.0, 86_400.0


class Registry(Protocol):
    """Who is asked: its name, and the seconds between two questions."""

    @property
    def name(self) -> str: ...
    @property
    def interval_s(self) -> float: ...


class Policy(Struct, frozen=True):
    """Who asks for how much.

    holder       our name, where several recorders share a ledger
    refresh_s    how long an answer is fresh
    most         bans that may wait at once; the oldest beyond that are given up
    backfill_s   bans older than that wait no longer
    """

    holder: str
    refresh_s: float
    most: int
    backfill_s: float


class Case(Struct, frozen=True):
    """What is to be asked: about which address, what was known of it, and the bans that wait for the answer."""

    address: str
    found: Knowledge
    bans: list[str]


class Cases:
    """What is to be asked of each registry, by cell, in the order of the bans."""

    def __init__(self) -> None:
        self._cases: dict[str, dict[Block, Case]] = {}

    def note(self, registry: str, id_: str, address: str, found: Knowledge, most: int | None = None) -> None:
        """One more ban that waits; no more than `most` cells."""
        cases = self._cases.setdefault(registry, {})
        if most is None or len(cases) < most or found.cell in cases:
            cases.setdefault(found.cell, Case(address, found, [])).bans.append(id_)

    def first(self, registry: str) -> Case | None:
        """The first case of a registry."""
        return next(iter(self._cases.get(registry, {}).values()), None)

    def drop(self, registry: str) -> None:
        """The first case is none any more."""
        cases = self._cases[registry]
        del cases[next(iter(cases))]

    def registries(self) -> list[str]:
        """Those that have cases."""
        return [name for name, cases in self._cases.items() if cases]


def due(found: Knowledge, now: float) -> bool:
    """Whether its cell may be asked about again. A moment farther away than any that we set is a clock's mistake."""
    return not 0 < found.until - now <= _LAST_RETRY_S


def failed(found: Knowledge, answer: Answer, now: float, wait_s: float = 0.0) -> Cell:
    """A cell that could not be asked about. What was known of it before stands."""
    tries = found.tries + 1
    known = found.known if found.standing == STALE else None
    return Cell(
        cidr=found.cell.cidr,
        asked=found.asked if known else now,
        result=Outcome.FOUND if known else Outcome.FAILED,
        network=known.cidr if known else None,
        asn=found.asn if known else None,
        until=now + (min(wait_s, _LAST_RETRY_S) or growing(_FIRST_RETRY_S, _LAST_RETRY_S, tries)),
        tries=tries,
        problem=answer.problem,
    )


def growing(first: float, last: float, number: int) -> float:
    """Twice as long every time."""
    return min(last, first * 2.0 ** (min(number, 20) - 1))
