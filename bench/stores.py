"""Redis and Valkey beside the embedded ledger and beside the naive layout. `python bench/stores.py [bans]`.

The naive layout is what the idea began with: one HSET and four SADDs a ban, a round trip each. It holds the same hash
without matched lines. Everything here runs on servers of its own on loopback, without persistence.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis
from tests.servers import Flavour, StoreServer, flavours

from banledger.enrich.places import offline_only
from banledger.keyspace import Keyspace
from banledger.model import BanLine, decode
from banledger.record import Ban, merge, subject_of, to_hash
from banledger.recorder import BATCH
from banledger.report.query import Query, span
from banledger.report.stats import report
from banledger.store.ledger import Ledger, LedgerReader, _id, open_to_read, open_to_write
from bench.ledger import lines

SOME = 30_000
FEW = 2_000


def events(bans: int, *, matches: bool) -> Iterator[BanLine]:
    """The bans of the other benchmark, with or without log lines."""
    for line in lines(bans, time.time()):
        event = decode(line.rstrip(b"\n"))
        assert isinstance(event, BanLine)
        yield event if matches else msgspec.structs.replace(event, matches=())


def fill(ledger: Ledger, bans: int, batch: int, *, matches: bool = True) -> float:
    """Bans a second into a ledger, all of it: identity, merging, indexes, rankings."""
    several: list[BanLine] = []
    taken = 0.0
    for event in events(bans, matches=matches):
        several.append(event)
        if len(several) == batch:
            start = time.perf_counter()
            ledger.record(several, offline_only)
            taken += time.perf_counter() - start
            several.clear()
    return bans // batch * batch / taken


def naive(client: "Redis", bans: int, *, pipelined: bool = False) -> float:
    """Bans a second the naive way."""
    keys = Keyspace("naive")
    rows = list(_hashes(bans))
    start = time.perf_counter()
    for page in range(0, len(rows), 1000):
        target = client.pipeline(transaction=False) if pipelined else client
        for ban, fields in rows[page : page + 1000]:
            target.hset(keys.ban(ban.id), mapping=dict[Any, Any](fields))
            for key in (f"naive:{ban.ip}", f"naive:{ban.jail}", f"naive:{ban.country}", f"naive:{ban.day}"):
                target.sadd(key, ban.id)
        if pipelined:
            target.execute()  # type: ignore[attr-defined]
    return len(rows) / (time.perf_counter() - start)


def _hashes(bans: int) -> Iterator[tuple[Ban, dict[str, str]]]:
    """Each ban as the ledger would hold it, but for matched lines."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_to_write(f"{folder}/ledger.db", "bans", "UTC")
        for event in events(bans, matches=False):
            subject = subject_of(event)
            ban = merge(ledger._begin(subject, _id(subject, 0), [event], offline_only), event)
            yield ban, to_hash(ban)
        ledger.close()


def used_memory(client: "Redis") -> int:
    """Bytes."""
    return int(client.info("memory")["used_memory"])


def speed(flavour: Flavour, folder: Path) -> None:
    """Single and batched, against the embedded ledger and the naive layout."""
    with StoreServer(flavour, folder / flavour.name, appendonly=False) as server:
        client = Redis.from_url(server.url)
        before = naive(client, FEW)
        rates = {}
        for batch, bans in ((1, FEW), (BATCH, SOME)):
            for name, store in (("embedded", f"{folder}/{flavour.name}-{batch}.db"), (flavour.name, server.url)):
                client.flushall()
                ledger = open_to_write(store, "bans", "UTC")
                rates[name, batch] = fill(ledger, bans, batch)
                ledger.close()
        client.flushall()
        plain = statistics.mean((before, naive(client, FEW)))
        for (name, batch), rate in rates.items():
            print(f"| {flavour.name} | {name}, batches of {batch} | {rate:,.0f} | {rate / plain:.1f} |")
        print(f"| {flavour.name} | naive, five round trips | {plain:,.0f} | 1 |")


def memory(flavour: Flavour, folder: Path, bans: int) -> None:
    """Bytes a ban of everything, against the naive layout; neither has matched lines."""
    with StoreServer(flavour, folder / f"{flavour.name}-memory", appendonly=False) as server:
        client = Redis.from_url(server.url, socket_timeout=60)
        empty = used_memory(client)
        naive(client, bans, pipelined=True)
        plain = (used_memory(client) - empty) / bans
        client.flushall()
        ledger = open_to_write(server.url, "bans", "UTC")
        fill(ledger, bans, BATCH, matches=False)
        ours = (used_memory(client) - empty) / bans
        print(f"| {flavour.name} | {bans:,} | {ours:,.0f} | {plain:,.0f} | {ours / plain:.2f} |")
        ledger.close()
        reports(flavour, server.url, bans)


def reports(flavour: Flavour, url: str, bans: int) -> None:
    """Milliseconds of what reports ask the engine."""
    reader = open_to_read(url, "bans")
    now = time.time()
    for name, ask in questions(reader, now).items():
        taken = []
        for _ in range(7):
            start = time.perf_counter()
            ask()
            taken.append((time.perf_counter() - start) * 1e3)
        print(f"| | {name}, {flavour.name}, {bans:,} bans | {statistics.median(taken):.1f} ms | | |")
    reader.close()


def questions(reader: LedgerReader, now: float) -> dict[str, Callable[[], object]]:
    """The standard reports."""
    month = sorted(reader.days())[-30:]
    query = Query(span=span("30d", None, now, reader.zone))
    return {
        "bans per day, all": reader.days,
        "countries, 30 days": lambda: reader.tally("country", month),
        "jails by country, 30 days": lambda: reader.tally("jail+country", month),
        "top 20 addresses, all time": lambda: reader.store().ranking(reader.keys.top("ip"), 0, 20),
        "the whole report, 30 days": lambda: report(reader, query, now),
    }


def main(bans: int) -> None:
    """All of it, as tables."""
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as name:
        print("## Writing, bans/s\n\n| | | bans/s | against naive |\n| --- | --- | --- | --- |")
        for flavour in flavours():
            speed(flavour, Path(name))
        print("\n## Memory, bytes a ban, no matched lines\n\n| | bans | banledger | naive | ratio |")
        print("| --- | --- | --- | --- | --- |")
        for flavour in flavours():
            memory(flavour, Path(name), bans)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
