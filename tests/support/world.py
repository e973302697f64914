"""A small internet for tests of whois: nested networks, five registries, and who knows what. No I/O."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from banledger.clock import ClockWatch
from banledger.ledger.check import check
from banledger.ledger.network import Answer, Network, Outcome
from banledger.ledger.reader import LedgerReader
from banledger.ledger.writer import Ledger
from banledger.net.prefix import Block, block
from banledger.spool.events import BanLine
from banledger.whois.cache import Cache
from banledger.whois.locate import Places, alike
from banledger.whois.pool import ThreadPool
from banledger.whois.queue import Policy, Question
from banledger.whois.rdap.bootstrap import Registry
from banledger.whois.throttle import Throttle
from banledger.whois.worker import Whois

DAY_S = 86_400.0


class Clock:
    """Time that passes when it is told to. A call reads the wall clock, which may be `ahead` of the true `now`."""

    def __init__(self, now: float, ahead: float = 0.0) -> None:
        self.now = now
        self.ahead = ahead

    def __call__(self) -> float:
        return self.now + self.ahead

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Steady:
    """Seconds of a clock that never go back, whatever the clock does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last, self._total = clock.now, 0.0

    def __call__(self) -> float:
        self._total += max(0.0, self._clock.now - self._last)
        self._last = self._clock.now
        return self._total


class World:
    """Networks with (country, organisation, ASN), and an answer to every question.

    `registry_of` goes by the address's first byte. `faults`: what is answered instead, by address. `asked`: every
    question with its moment.
    """

    def __init__(self, networks: Mapping[str, tuple[str, str, int]], clock: Clock) -> None:
        self.networks = dict(networks)
        self.clock = clock
        self.faults: dict[str, Answer] = {}
        self.asked: list[tuple[float, str]] = []
        self.down = False

    def registry_of(self, address: str) -> Registry | None:
        """One of three; nobody for 240.0.0.0/4."""
        first = block(address).first >> (24 if "." in address else 112)
        return None if first >= 240 and "." in address else Registry(("arin", "ripe", "apnic")[first % 3])

    def ask(self, address: str) -> Answer:
        """What the registry says now."""
        self.asked.append((self.clock.now, address))
        registry = self.registry_of(address)
        assert registry is not None
        if self.down:
            return Answer(address=address, registry=registry.name, outcome=Outcome.FAILED, problem="unreachable")
        if address in self.faults:
            return self.faults[address]
        cidr = self.truth(address)
        if cidr is None:
            return Answer(address=address, registry=registry.name, outcome=Outcome.NONE)
        country, org, asn = self.networks[cidr]
        network = Network(
            cidrs=(cidr,), source="rdap", registry=registry.name, fetched=self.clock(), name=org.upper(),
            country=country, org=org, asn=asn, abuse=f"abuse@{org.lower()}.example", raw=b'{"name": "x"}',
        )  # fmt: skip
        return Answer(address=address, registry=registry.name, outcome=Outcome.FOUND, network=network, asn=asn)

    def truth(self, address: str) -> str | None:
        """The smallest network around an address."""
        asked = block(address)
        around = [there for there in map(block, self.networks) if there.covers(asked)]
        return max(around, key=lambda there: there.prefix).cidr if around else None


class Patient(ThreadPool):
    """A pool without threads, whose answers come when they are taken."""

    def __init__(self, ask: Callable[[str], Answer]) -> None:
        super().__init__(ask, 0)
        self.ask = ask
        self.questions: list[Question] = []
        self.closed = False

    def submit(self, question: Question) -> None:
        self.questions.append(question)

    def take(self) -> list[tuple[Question, Answer]]:
        questions, self.questions = self.questions, []
        return [(question, self.ask(question.address)) for question in questions]

    def close(self) -> None:
        self.closed = True


class Desk(NamedTuple):
    """Everything that one recorder's whois consists of."""

    whois: Whois
    places: Places
    cache: Cache
    asker: Patient


def same_country(one: Block, other: Block) -> bool:
    """Whether offline data says the same."""
    return alike(None)(one, other)


def desk(
    world: World,
    *,
    holder: str = "one",
    most: int = 1000,
    refresh_s: float = 14 * DAY_S,
    backfill_s: float = 30 * DAY_S,
    ask: bool = True,
    clock: Callable[[], float] | None = None,
) -> Desk:
    """A recorder's whois over that world. `clock`: its wall clock; None: the world's."""
    cache = Cache(refresh_s, same_country)
    places = Places(cache, None, clock or world.clock, ask=ask, backfill_s=backfill_s)
    asker = Patient(world.ask)
    elapsed = Steady(world.clock)
    pace = Throttle(elapsed, world.clock.sleep)
    policy = Policy(holder, refresh_s, most, backfill_s)
    whois = Whois(places, asker, world.registry_of if ask else None, pace, policy, ClockWatch(elapsed))
    return Desk(whois, places, cache, asker)


# A day in the life of whois, for tests that kill it.

NETWORKS = {
    "5.51.0.0/16": ("DE", "Alpha", 64500),
    "5.51.9.0/24": ("FR", "Beta", 64501),
    "6.0.0.0/8": ("JP", "D", 64502),
}
ADDRESSES = ("5.51.1.1", "5.51.1.2", "5.51.9.1", "6.7.8.9", "9.9.9.9")


def live(ledger: Ledger, lines: list[BanLine], clock: Clock) -> None:
    """Record bans, and let whois amend them until none waits."""
    one = desk(World(NETWORKS, clock))
    while not one.whois.follow(ledger, clock.now):
        pass
    ledger.record(lines, one.places.locate, clock.now)
    for _ in range(100):
        one.whois.step(ledger, clock.now)
        clock.now += 1.0
        if not ledger.waiting():
            return
    raise AssertionError("some wait for ever")


def wrong(ledger: LedgerReader) -> list[str]:
    """Bans that are not where the world says, and all that the check finds."""
    world = World(NETWORKS, Clock(0.0))
    found = [f"{fault.key} {fault.what}" for fault in check(ledger.store(), ledger.keys)]
    for address in ADDRESSES:
        truth = world.truth(address)
        for ban in ledger.bans(sorted(ledger.ids("ip", address))):
            if ban is None or ban.network != truth or ban.whois != ("proven" if truth else "none"):
                found.append(f"{address} {ban}")
    return found
