"""Whois by CIDR: what caching costs in look-ups and in wrong countries. `python bench/whois.py [STREAM.tsv.gz]`.

STREAM: bans as lines `2026-06-01T14:05 <tab> 203.0.113.9`, oldest first; without one only speed and memory are
measured. Replayed in simulated time against an oracle: Debian's libloc-database, whose networks are real and nested
(its data is CC BY-SA 4.0, unpacked into .cache). What is offline at the ban is iptocc, as always. Beside banledger's
rule: a cache by address, and the one that whoever writes it first writes: the longest known network.
"""

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from banledger.geo import registered as offline
from banledger.ledger.ban import INHERITED, PROVEN, WAITS
from banledger.ledger.network import Cell, Network, Outcome, cell_of
from banledger.ledger.writer import open_to_write
from banledger.net.prefix import Block, block
from banledger.net.prefix_table import Table
from banledger.stores.pages import pages
from banledger.whois.cache import Cache
from banledger.whois.locate import Places, alike
from bench.proof.live import serve
from bench.proof.processes import cpu_seconds, resident_mb

ROOT = Path(__file__).parents[1]
PACKAGES = ("libloc-database", "python3-location", "libloc1")
DAY_S = 86_400.0
REFRESH_S = 14 * DAY_S
RAW = json.dumps({f"field {n}": f"what a registry says, {n * 7919}" for n in range(60)}).encode()

ORACLE = """
import sys, location
database = location.Database(sys.argv[1])
for line in sys.stdin:
    found = database.lookup(line.strip())
    print(found or "", found and found.country_code or "", found and found.asn or "", sep="\\t")
"""


class Truth(NamedTuple):
    """What the oracle says of an address."""

    network: Block
    country: str
    asn: int | None


class Ban(NamedTuple):
    """One line of the stream."""

    time: float
    address: str


def stream(path: Path) -> list[Ban]:
    """The bans of a file."""
    with gzip.open(path, "rt") as lines:
        pairs = (line.split() for line in lines)
        return [Ban(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp(), address) for when, address in pairs]


def oracle(addresses: Sequence[str]) -> dict[str, Truth]:
    """The truth about each address that the oracle knows of with a country."""
    folders = {name: ROOT / ".cache" / "libloc" / name for name in PACKAGES}
    for name, folder in folders.items():
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([ROOT / "tools/fetch-package", name, folder], check=True)
    library = next((folders["libloc1"] / "usr/lib").glob("*/libloc.so.*")).parent
    python = folders["python3-location"] / "usr/lib/python3/dist-packages"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": str(python)}
    database = folders["libloc-database"] / "usr/share/libloc-location/location.db"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ORACLE, str(database)],
        input="\n".join(addresses), env=environment, text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    truth = {}
    for address, line in zip(addresses, done.stdout.splitlines(), strict=True):
        network, country, asn = line.split("\t")
        if network and len(country) == 2:
            truth[address] = Truth(block(network), country, int(asn) if asn else None)
    return truth


class Score:
    """What a policy did."""

    def __init__(self) -> None:
        self.bans = self.lookups = self.wrong_cached = self.wrong = self.wrong_later = 0


class Policy(Protocol):
    """One way of caching: the bans of one moment, with the truth about each."""

    def replay(self, bans: list[Ban], truth: dict[str, Truth], score: Score) -> None: ...


class ByAddress:
    """Every address is asked about, and the ban waits for the answer."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}

    def replay(self, bans: list[Ban], truth: dict[str, Truth], score: Score) -> None:
        for ban in bans:
            if ban.time - self._asked.get(ban.address, -REFRESH_S) >= REFRESH_S:
                self._asked[ban.address] = ban.time
                score.lookups += 1


class Longest:
    """The longest network that is known answers for all of it; else the ban waits for a look-up."""

    def __init__(self) -> None:
        self._networks: Table[tuple[float, str]] = Table()

    def replay(self, bans: list[Ban], truth: dict[str, Truth], score: Score) -> None:
        for ban in bans:
            hit = self._networks.longest(block(ban.address))
            right = truth[ban.address]
            if hit and ban.time - hit[1][0] < REFRESH_S:
                wrong = hit[1][1] != right.country
                score.wrong_cached += wrong
                score.wrong += wrong
                score.wrong_later += wrong
            else:
                score.lookups += 1
                self._networks.put(right.network, (ban.time, right.country))


class Proven:
    """banledger's: nobody waits; cells are proven in the background, between one moment of the stream and the next."""

    def __init__(self) -> None:
        self._now = 0.0
        self._cache = Cache(REFRESH_S, alike(None))
        self._places = Places(self._cache, None, lambda: self._now, ask=True, backfill_s=30 * DAY_S)
        self._places.ready = True

    def replay(self, bans: list[Ban], truth: dict[str, Truth], score: Score) -> None:
        self._now = bans[0].time
        for ban in bans:
            place = self._places.locate(ban.address, ban.time)
            wrong = place.country != truth[ban.address].country
            score.wrong += wrong
            if place.whois in (PROVEN, INHERITED):
                score.wrong_cached += wrong
        for ban in bans:
            if self._places.found(ban.address).standing in WAITS:
                score.lookups += 1
                self._learn(ban, truth[ban.address])
        score.wrong_later += sum(
            self._places.locate(ban.address, ban.time).country != truth[ban.address].country for ban in bans
        )

    def _learn(self, ban: Ban, right: Truth) -> None:
        cidr = right.network.cidr
        self._cache.learn(
            Network(cidrs=(cidr,), source="rdap", registry="", fetched=ban.time, country=right.country, asn=right.asn)
        )
        cell = cell_of(block(ban.address), right.network)
        self._cache.prove(Cell(cidr=cell.cidr, asked=ban.time, result=Outcome.FOUND, network=cidr, asn=right.asn))


def replay(path: Path) -> None:
    """All policies over one stream."""
    everything = stream(path)
    truth = oracle(sorted({ban.address for ban in everything}))
    known = [ban for ban in everything if ban.address in truth]
    print(f"## {len(known):,} bans of {len(truth):,} addresses, refreshed after 14 days\n")
    print("| | look-ups a 100 bans | wrong by whois at the ban, % | after the proof, % | wrong by any source, % |")
    print("| --- | --- | --- | --- | --- |")
    policies: dict[str, Policy] = {"by address": ByAddress(), "longest network": Longest(), "proven cells": Proven()}
    for name, policy in policies.items():
        score = run(policy, known, truth)
        wrong = (score.wrong_cached, score.wrong_later, score.wrong)
        shares = " | ".join(f"{100 * bans / score.bans:.3f}" for bans in wrong)
        print(f"| {name} | {100 * score.lookups / score.bans:.1f} | {shares} |")
    differ = sum(offline.locate(ban.address).country != truth[ban.address].country for ban in known)
    print(f"\nOracle and offline data differ on {100 * differ / len(known):.3f} % of these bans.\n")


def run(policy: Policy, bans: Iterable[Ban], truth: dict[str, Truth]) -> Score:
    """One policy over all bans, moment by moment."""
    score = Score()
    for _, several in groupby(bans, key=lambda ban: ban.time):
        moment = list(several)
        score.bans += len(moment)
        policy.replay(moment, truth, score)
    return score


def speed(networks: int) -> None:
    """The longest-prefix look-up and the whole question, and what the networks take."""
    rng = random.Random(1)
    before = resident_mb(os.getpid())
    cache = Cache(REFRESH_S, lambda _one, _other: True)
    known = list(_fill(cache, rng, networks))
    after = resident_mb(os.getpid())
    strangers = [_address(rng) for _ in range(20_000)]
    print(f"## {networks:,} networks in memory\n\n| | known address | any address |\n| --- | --- | --- |")
    for name, ask in (
        ("longest-prefix look-up, µs", cache._networks.longest),
        ("the whole question, µs", lambda there: cache.find(there, time.time())),
    ):
        times = [_each(ask, some) for some in (rng.sample(known, min(20_000, networks)), strangers)]
        print(f"| {name} | {times[0]:.1f} | {times[1]:.1f} |")
    print(f"\nMemory: {after - before:.0f} MB for them.\n")


def service(networks: int) -> None:
    """A recorder whose ledger knows so many networks: how long it reads them, its memory, and its idle CPU."""
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as name:
        store, spool = f"{name}/ledger.db", f"{name}/spool"
        Path(spool).mkdir()
        ledger = open_to_write(store, "bans", "UTC")
        for number, page in enumerate(pages(_records(random.Random(1), networks), 1000)):
            moment = time.time() - REFRESH_S * (1 - 1000 * number / networks)
            ledger.networks.put([network for network, _, _ in page], [cell for _, cell, _ in page], moment)
        ledger.close()
        words = [sys.executable, "-m", "banledger", "record", "--spool", spool, "--store", store]
        child = subprocess.Popen(
            words, stderr=subprocess.DEVNULL, env={**os.environ, "BANLEDGER_WHOIS_ENABLED": "true"}
        )
        try:
            _settle(child.pid)
            loaded = cpu_seconds(child.pid)
            time.sleep(20)
            idle = (cpu_seconds(child.pid) - loaded) / 20 * 100
            print(f"A recorder with {networks:,} networks in its ledger: {loaded:.1f} s of CPU to start and read them,")
            print(f"{resident_mb(child.pid):.0f} MB resident, {idle:.2f} % CPU idle.\n")
        finally:
            child.terminate()
            child.wait()


def delays() -> None:
    """From a ban's write until it is seen: nobody asked, and registries that never answer."""
    print("| ban to visible, ms | median | p99 |\n| --- | --- | --- |")
    for name, registries in (("nobody is asked", ""), ("registries hang", "hanging")):
        with tempfile.TemporaryDirectory(prefix="banledger-bench-") as folder:
            store = Path(folder) / "ledger.db"
            open_to_write(str(store), "bans", "UTC").close()
            taken = sorted(serve(Path(folder), store, registries)[0])
            p50, p99 = (taken[int(len(taken) * part)] * 1e3 for part in (0.5, 0.99))
            print(f"| {name} | {p50:.0f} | {p99:.0f} |")
    print()


def _settle(pid: int) -> None:
    """Wait until a process has next to nothing to do."""
    last = -1.0
    while cpu_seconds(pid) - last > 0.1:
        last = cpu_seconds(pid)
        time.sleep(3)


def _fill(cache: Cache, rng: random.Random, networks: int) -> Iterator[Block]:
    for network, cell, there in _records(rng, networks):
        cache.learn(network)
        cache.prove(cell)
        yield there


def _records(rng: random.Random, networks: int) -> Iterator[tuple[Network, Cell, Block]]:
    """Networks of all sizes, each with the address that was asked about and the cell that proved."""
    sizes = (14, 16, 17, 18, 19, 20, 21, 22, 22, 22, 23, 24, 24, 24, 24, 25, 26, 27, 28, 29)
    for number in range(networks):
        there = _address(rng)
        network = there.at(rng.choice(sizes))
        org = f"Organisation {number // 3} GmbH"
        record = Network(
            cidrs=(network.cidr,), source="rdap", registry="ripe", fetched=1.0, country="DE", org=org, raw=RAW
        )
        asked = time.time()
        yield record, Cell(cidr=cell_of(there, network).cidr, asked=asked, result=Outcome.FOUND, asn=64_500), there


def _address(rng: random.Random) -> Block:
    return Block(4, rng.randrange(1 << 24, 224 << 24), 32)


def _each(ask: object, some: list[Block]) -> float:
    assert callable(ask)
    start = time.process_time()
    for there in some:
        ask(there)
    return (time.process_time() - start) / len(some) * 1e6


if __name__ == "__main__":
    speed(100_000)
    service(100_000)
    delays()
    if len(sys.argv) > 1:
        replay(Path(sys.argv[1]))
