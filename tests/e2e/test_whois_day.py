"""A day of bans in simulated time: registries are asked, never too often, and everything is answered."""

from itertools import pairwise
from pathlib import Path
from random import Random

from banledger.clock import ClockWatch
from banledger.ledger.check import check
from banledger.ledger.writer import Ledger, open_to_write
from banledger.net.prefix import Block, block
from banledger.spool.events import BanLine
from banledger.whois.cache import Cache
from banledger.whois.locate import Places, alike
from banledger.whois.queue import Policy
from banledger.whois.rdap.bootstrap_refresh import Refreshed
from banledger.whois.rdap.client import Lookup
from banledger.whois.throttle import Throttle
from banledger.whois.worker import Whois
from tests.support.lines import T0, ban
from tests.support.rdap_answers import network
from tests.support.rdap_server import RdapServer
from tests.support.world import DAY_S, Clock, Patient

BANS, ADDRESSES, CELLS = 10_000, 8_000, 1_500
START = T0 - T0 % 86_400
# Of each registry some blocks that it hands out in pieces, and what one of its national registries has.
BLOCKS = {
    "arin": ("23.20.0.0/14", "50.16.0.0/14", "2600:1f00::/24"),
    "ripe": ("5.8.0.0/14", "46.160.0.0/14", "2a01:4f00::/24"),
    "apnic": ("14.128.0.0/14", "115.208.0.0/14", "2400:8900::/24"),
    "lacnic": ("177.52.0.0/14", "181.48.0.0/14"),
    "afrinic": ("41.72.0.0/14", "105.112.0.0/14"),
    "jpnic": ("126.0.0.0/14",),
    "nicbr": ("189.0.0.0/14",),
}
NATIONAL = {"jpnic": "apnic", "nicbr": "lacnic"}
INTERVALS = {"lacnic": 6.0}


def pieces(text: str) -> list[Block]:
    """A block, four quarters of it, and a small network inside each."""
    whole = block(text)
    small = 32 - 6 if whole.version == 4 else 48
    quarters = [Block(whole.version, whole.first + (n << whole.host_bits - 2), whole.prefix + 2) for n in range(4)]
    return [whole, *quarters, *(Block(whole.version, quarter.first + (9 << 8), small) for quarter in quarters)]


def people(server: RdapServer) -> dict[Block, str]:
    """Give every piece to somebody; whose each is."""
    owners: dict[Block, str] = {}
    for registry, blocks in BLOCKS.items():
        for text in blocks:
            if registry in NATIONAL:
                server.redirect(NATIONAL[registry], text, registry)
            for piece in pieces(text):
                country = "DEFRITJPBRUSZACN"[2 * (len(owners) % 8) :][:2]
                owners[piece] = country
                last = Block(piece.version, piece.last, piece.at(128 if piece.version == 6 else 32).prefix).text
                first = piece.at(128 if piece.version == 6 else 32).text
                server.answer(registry, network(first, last, country=country, name=f"N{len(owners)}", handle="H"))
    return owners


def day(rng: Random, owners: dict[Block, str]) -> list[BanLine]:
    """The bans of a day, oldest first."""
    places = sorted(owners, key=str)
    cells = []
    for _ in range(CELLS):
        piece = rng.choice(places)
        bits = 24 if piece.version == 4 else 48
        cells.append(Block(piece.version, rng.randrange(piece.first, piece.last + 1), bits).at(max(bits, piece.prefix)))
    addresses = [Block(cell.version, rng.randrange(cell.first, cell.last + 1), 128 if cell.version == 6 else 32).text
                 for cell in rng.choices(cells, k=ADDRESSES)]  # fmt: skip
    chosen = [*addresses, *rng.choices(addresses, k=BANS - ADDRESSES)]
    moments = sorted(rng.randrange(START, START + 86_400) for _ in chosen)
    rng.shuffle(chosen)
    return [ban(address, moment, seen=float(moment)) for address, moment in zip(chosen, moments, strict=True)]


def live(ledger: Ledger, whois: Whois, places: Places, lines: list[BanLine], clock: Clock) -> int:
    """Let the day pass, and the queue drain; the most bans that ever waited."""
    most, at = 0, 0
    while at < len(lines) or ledger.waiting():
        end = at
        while end < len(lines) and lines[end].time <= clock.now:
            end += 1
        if end > at:
            assert ledger.record(lines[at:end], places.locate).new == end - at
            at = end
        whois.step(ledger, clock.now)
        most = max(most, ledger.waiting())
        assert clock.now < START + 2 * DAY_S
        clock.now += 1.0 if ledger.waiting() else max(1.0, lines[at].time - clock.now) if at < len(lines) else 1.0
    return most


def test_ten_thousand_bans_a_day_are_looked_up_within_every_registrys_rate(tmp_path: Path) -> None:
    clock = Clock(float(START))
    with RdapServer(tmp_path, clock=clock) as server:
        owners = people(server)
        pace = Throttle(clock, clock.sleep)
        lookup = Lookup(server.transport().get, Refreshed(), take=pace.take, clock=clock)
        places = Places(Cache(14 * DAY_S, alike(None)), None, clock, ask=True, backfill_s=30 * DAY_S)
        policy = Policy("one", 14 * DAY_S, 20_000, 30 * DAY_S)
        whois = Whois(places, Patient(lookup.ask), lookup.registry_of, pace, policy, ClockWatch(clock))
        ledger = open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")
        lines = day(Random(5), owners)
        live(ledger, whois, places, lines, clock)
        moments: dict[str, list[float]] = {}
        for request in server.requests:
            moments.setdefault(request.registry, []).append(request.moment)
    assert set(moments) == set(BLOCKS)
    for registry, asked in moments.items():
        interval = INTERVALS.get(registry, 1.0)
        assert min(after - before for before, after in pairwise(asked)) >= interval - 1e-6, registry
    bans = [one for one in ledger.bans(sorted(ledger.ids("jail", "sshd"))) if one is not None]
    assert len(bans) == BANS and {one.whois for one in bans} == {"proven"}
    wrong = sum(one.country != _owner(owners, one.ip or "") for one in bans)
    assert wrong <= BANS // 1000
    assert len({request.path for request in server.requests}) <= CELLS + len(BLOCKS) * 12
    assert list(check(ledger.store(), ledger.keys)) == []
    ledger.close()


def _owner(owners: dict[Block, str], address: str) -> str:
    there = block(address)
    return owners[max((piece for piece in owners if piece.covers(there)), key=lambda piece: piece.prefix)]
