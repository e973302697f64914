"""Redis and Valkey beside the embedded ledger and beside the naive layout. `python bench/stores.py [section …]`.

    speed          bans/s one at a time and in batches; what the naive layout does, in turns with it
    memory=BANS    bytes a ban, and how long reports ask the engine then (200,000 bans where none are given)
    ranking=BANS   top 20 addresses of a rolling 30 days, over tallies and rankings of so many bans (10,000,000)
    scan=BANS      reports of mixes of filters that no tally answers, in turns with a look at whole hashes (200,000)

The naive layout is what the idea began with: one HSET and four SADDs a ban, a round trip each, by plain calls of the
same client. It holds the same hash without matched lines, and its ids and hashes are made beforehand. Everything here
runs on servers of its own on loopback, without persistence.
"""

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis
from tests.support.servers import Flavour, StoreServer, flavours

from banledger.cli.record import collect_rarely
from banledger.ledger.ban import Ban, to_hash
from banledger.ledger.ban_writer import _id
from banledger.ledger.dimensions import DAY, TABLE
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import subject_of
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.ledger.writer import Ledger, open_to_write
from banledger.net.prefix import block
from banledger.report import columns, ranked
from banledger.report.query import Query, Span, question, span
from banledger.report.summary import report, top
from banledger.service.recorder import BATCH
from banledger.spool.events import BanLine, decode
from banledger.stores.api import Repair
from banledger.stores.change import Score
from banledger.stores.pages import pages
from banledger.whois.locate import offline_only
from bench.proof.bans import lines
from bench.proof.log_lines import made_up, none

YEAR = 1_000_000  # bans of the year that batches are cut from
ROUNDS = 15
NAIVE = 1_000  # bans in a round
BATCHES = 2
SINGLE = 200
SCANS = 3
WHOLE = 50_000  # bans whose whole hashes are read in a turn


def events(bans: int, *, matches: bool) -> Iterator[BanLine]:
    """The bans of the other benchmark, with or without log lines."""
    for line in lines(bans, time.time(), made_up if matches else none):
        event = decode(line.rstrip(b"\n"))
        assert isinstance(event, BanLine)
        yield event


def fill(ledger: Ledger, bans: int, batch: int) -> None:
    """Bans without log lines."""
    several: list[BanLine] = []
    for event in events(bans, matches=False):
        several.append(event)
        if len(several) == batch:
            ledger.record(several, offline_only)
            several.clear()
    ledger.record(several, offline_only)


Row = tuple[Ban, dict[str, str]]


def naive(client: "Redis", rows: list[Row], *, pipelined: bool = False) -> None:
    """Write bans the naive way."""
    keys = Keyspace("naive")
    target = client.pipeline(transaction=False) if pipelined else client
    for ban, fields in rows:
        target.hset(keys.ban(ban.id), mapping=dict[Any, Any](fields))
        for key in (f"naive:{ban.ip}", f"naive:{ban.jail}", f"naive:{ban.country}", f"naive:{ban.day}"):
            target.sadd(key, ban.id)
    if pipelined:
        target.execute()  # type: ignore[attr-defined]


def hashes(bans: Iterator[BanLine]) -> Iterator[Row]:
    """Each ban as the ledger would hold it."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_to_write(f"{folder}/ledger.db", "bans", "UTC")
        for event in bans:
            subject = subject_of(event)
            ban = ledger._begin(subject, _id(subject, 0), [event], offline_only)
            yield ban, to_hash(ban)
        ledger.close()


def used_memory(client: "Redis") -> int:
    """Bytes."""
    return int(client.info("memory")["used_memory"])


# Speed


class Turn(msgspec.Struct):
    """What a turn of some way to write took: bans, seconds of the clock, seconds of CPU of client and server."""

    bans: int
    clock: float
    client: float
    server: float


def timed(server: StoreServer, bans: int, write: Callable[[], object]) -> Turn:
    """Write or read that many bans."""
    before = _own_cpu(), _cpu_of(server.pid)
    start = time.perf_counter()
    write()
    clock = time.perf_counter() - start
    return Turn(bans, clock, _own_cpu() - before[0], _cpu_of(server.pid) - before[1])


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def speed(flavour: Flavour, folder: Path) -> None:
    """All ways to write take turns on one server, with bans of their own."""
    with StoreServer(flavour, folder / flavour.name, appendonly=False) as server:
        client = Redis.from_url(server.url)
        ledgers = {
            store: open_to_write(url, prefix, "UTC")
            for store, url, prefix in (
                ("", server.url, "bans"),
                ("embedded, ", f"{folder}/{flavour.name}.db", "bans"),
            )
        }
        # Enough for all, and one turn more that is not counted.
        many = list(islice(events(YEAR, matches=False), (ROUNDS + 1) * (BATCHES * BATCH + SINGLE)))
        rows = list(hashes(islice(events(YEAR, matches=False), (ROUNDS + 1) * NAIVE)))
        collect_rarely()  # as the service does
        turns: dict[str, list[Turn]] = {}
        bans, plain = iter(many), iter(rows)
        for _ in range(ROUNDS + 1):
            batches = [list(islice(bans, BATCH)) for _ in range(BATCHES)]
            single = [[event] for event in islice(bans, SINGLE)]
            some = list(islice(plain, NAIVE))
            turns.setdefault("naive", []).append(timed(server, NAIVE, partial(naive, client, some)))
            for store, ledger in ledgers.items():
                for name, several in ((f"batches of {BATCH:,}", batches), ("one at a time", single)):
                    turn = timed(server, sum(map(len, several)), partial(_record, ledger, several))
                    turns.setdefault(store + name, []).append(turn)
        for ledger in ledgers.values():
            ledger.close()
        say_turns(flavour, {name: each[1:] for name, each in turns.items()})


def _record(ledger: Ledger, batches: list[list[BanLine]]) -> None:
    for batch in batches:
        ledger.record(batch, offline_only)


def say_turns(flavour: Flavour, turns: dict[str, list[Turn]]) -> None:
    """Medians of the turns; each is compared with the first way's turns before and after it."""
    first = next(iter(turns))
    plain = [turn.clock / turn.bans for turn in turns[first]]
    beside = [statistics.mean(plain[at : at + 2]) for at in range(len(plain))]
    for name, several in turns.items():
        rate = statistics.median(turn.bans / turn.clock for turn in several)
        ratios = sorted(base * turn.bans / turn.clock for base, turn in zip(beside, several, strict=True))
        client, server = (
            sum(getattr(turn, who) for turn in several) / sum(turn.bans for turn in several) * 1e6
            for who in ("client", "server")
        )
        ratio = "1" if name == first else f"**{statistics.median(ratios):.1f}** ({ratios[0]:.1f} – {ratios[-1]:.1f})"
        print(f"| {flavour.name} | {name} | {rate:,.0f} | {ratio} | {client:.0f} + {server:.0f} |")


# Memory, and reports


def memory(flavour: Flavour, folder: Path, bans: int) -> None:
    """Bytes a ban of everything, against the naive layout; neither has matched lines."""
    with StoreServer(flavour, folder / f"{flavour.name}-memory", appendonly=False) as server:
        client = Redis.from_url(server.url, socket_timeout=120)
        empty = used_memory(client)
        rows = hashes(events(bans, matches=False))
        while page := list(islice(rows, BATCH)):
            naive(client, page, pipelined=True)
        plain = (used_memory(client) - empty) / bans
        client.flushall()
        ledger = open_to_write(server.url, "bans", "UTC")
        fill(ledger, bans, BATCH)
        ours = (used_memory(client) - empty) / bans
        print(f"| {flavour.name} | {bans:,} | {ours:,.0f} | {plain:,.0f} | {ours / plain:.2f} |")
        ledger.close()
        reports(flavour, client, server.url, bans)


def reports(flavour: Flavour, client: "Redis", url: str, bans: int) -> None:
    """Milliseconds of what reports ask the engine, and by which commands."""
    reader = open_to_read(url, "bans")
    for name, ask in questions(reader, time.time()).items():
        client.config_resetstat()
        ask()
        asked = Counter({name.partition("_")[2]: said["calls"] for name, said in client.info("commandstats").items()})
        words = ", ".join(f"{count} {word.upper()}" for word, count in sorted(asked.items()) if "config" not in word)
        print(f"| | {name}, {flavour.name}, {bans:,} bans | **{milliseconds(ask):.1f} ms** | {words} | |")
    reader.close()


def milliseconds(ask: Callable[[], object], times: int = 9) -> float:
    """Median."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def questions(reader: LedgerReader, now: float) -> dict[str, Callable[[], object]]:
    """The standard reports."""
    month = sorted(reader.days())[-30:]
    query = Query(span=span("30d", None, now, reader.zone))
    return {
        "bans per day, all": reader.days,
        "countries, 30 days": lambda: ranked.top(reader, "country", month, 20, reader.days()),
        "jails, 30 days": lambda: ranked.top(reader, "jail", month, 20, reader.days()),
        "jails by country, 30 days": lambda: reader.tally("jail+country", month),
        "hours, 30 days": lambda: reader.tally("hour", month),
        "top 20 addresses, all time": lambda: ranked.top(reader, "ip", list(reader.days()), 20, reader.days()),
        "different addresses a day, 30 days": lambda: reader.distinct_on("ip", month),
        "top 20 addresses, 30 days": lambda: ranked.top(reader, "ip", month, 20, reader.days()),
        "top 20 user names, 30 days": lambda: ranked.top(reader, "user", month, 20, reader.days()),
        "the whole report, 30 days": lambda: report(reader, query, now),
    }


# A ranking of many


def ranking(flavour: Flavour, folder: Path, bans: int) -> None:
    """Top 20 addresses of a rolling 30 days, by the code of reports, over what it reads: tallies, ranking, days."""
    for name, weights in (("a few strike often", True), ("each address once", False)):
        with StoreServer(flavour, folder / f"{flavour.name}-ranking-{weights}", appendonly=False) as server:
            ledger = open_to_write(server.url, "bans", "UTC")
            month = fill_tallies(ledger, bans, often=weights)
            ask = partial(ranked.top, ledger, "ip", month, 20, ledger.days())
            print(f"| {flavour.name} | {bans:,} bans, {name} | **{milliseconds(ask):.0f} ms** | | |")
            ledger.close()


def fill_tallies(ledger: Ledger, bans: int, *, often: bool) -> list[str]:
    """What a year of bans leaves in the ranking and in the tallies of its last 30 days; those days.

    `often`: a third as many addresses as bans, the first of them with many bans; else one ban an address.
    """
    rng, keys = random.Random(7), ledger.keys
    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=back)).isoformat() for back in range(364, -1, -1)]
    of_all_time: Counter[int] = Counter()
    tallies: dict[str, Counter[int]] = {day: Counter() for day in days[-30:]}
    for number in range(bans):
        day = days[number * len(days) // bans]
        address = int(rng.paretovariate(0.35)) % (bans * 35 // 100) if often else number * 2_654_435_761 % 2**32
        of_all_time[address] += 1
        if day in tallies:
            tallies[day][address] += 1
    engine = ledger._engine
    engine.mend(Repair(scores=[Score(keys.top(DAY), day, float(bans // len(days))) for day in days]))
    several: list[Score] = []
    for address, count in of_all_time.items():
        several.append(Score(keys.top("ip"), _ip(address), float(count)))
        if len(several) == 100_000:
            engine.mend(Repair(scores=several))
            several.clear()
    engine.mend(Repair(scores=several))
    for day, counts in tallies.items():
        key = keys.count(f"{day[2:4]}{day[5:7]}", day, "ip")
        engine.mend(Repair(tallies=[Score(key, _ip(address), float(count)) for address, count in counts.items()]))
    return days[-30:]


def _ip(number: int) -> str:
    """An address of its own for each number, in no order."""
    return ".".join(str(byte) for byte in (number * 2_654_435_761 % 2**32).to_bytes(4, "big"))


# Any mix of filters


def scan(flavour: Flavour, folder: Path, bans: int) -> None:
    """Reports that look at every ban, with its log lines, beside one that reads whole hashes of the newest bans."""
    with StoreServer(flavour, folder / f"{flavour.name}-scan", appendonly=False) as server:
        ledger = open_to_write(server.url, "bans", "UTC")
        several = events(bans, matches=True)
        while batch := list(islice(several, BATCH)):
            ledger.record(batch, offline_only)
        ledger.close()
        reader = open_to_read(server.url, "bans")
        days = reader.days()
        half, every = question(ip=("0.0.0.0/1",)), Query(Span(min(days), max(days), since=1.0))
        newest = newest_days(days, WHOLE)
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "whole hashes": (sum(map(days.__getitem__, newest)), partial(whole_hashes, reader, half, newest)),
            "`report --ip 0.0.0.0/1`: half pass": (bans, partial(report, reader, half, time.time())),
            "`report --since TIME`: all pass": (bans, partial(report, reader, every, time.time())),
            "`top user --ip 0.0.0.0/1`": (bans, partial(top, reader, "user", half)),
        }
        turns: dict[str, list[Turn]] = {}
        for _ in range(SCANS + 1):
            for name, (seen, ask) in ways.items():
                turns.setdefault(name, []).append(timed(server, seen, ask))
        reader.close()
        say_turns(flavour, {f"{name}, {bans:,}": each[1:] for name, each in turns.items()})
        print(f"| {flavour.name} | peak resident memory of the first report, {bans:,} | {peak_mb(server.url)} MB | | |")


def newest_days(days: Mapping[str, int], least: int) -> list[str]:
    """The newest days that together have at least so many bans, newest first."""
    found: list[str] = []
    for day in sorted(days, reverse=True):
        found.append(day)
        if sum(map(days.__getitem__, found)) >= least:
            break
    return found


def whole_hashes(reader: LedgerReader, query: Query, days: list[str]) -> None:
    """What a report of a mix would do with every ban as a value."""
    network = block(query.filters["ip"][0])
    tables = {name: (TABLE[name].tokens, Counter[str]()) for name in (*columns.reported(), DAY, "hour")}
    offenders: Counter[tuple[str, str]] = Counter()
    for day in days:
        for page in pages(reader.ids_of_day(day)):
            for ban in reader.bans(page):
                if ban is not None and ban.ip is not None and network.covers(block(ban.ip)):
                    offenders[ban.day, ban.ip] += 1
                    for tokens, counter in tables.values():
                        counter.update(tokens(ban))


def peak_mb(url: str) -> int:
    """Peak resident memory of a report in a process of its own."""
    command = [sys.executable, "-m", "banledger", "report", "--since", "all", "--ip", "0.0.0.0/1", "--store", url]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0
    return used.ru_maxrss // 1024


def main(sections: list[str]) -> None:
    """The sections, as tables."""
    wanted = {
        name: [int(bans) for bans in bans.split(",") if bans] for name, _, bans in (s.partition("=") for s in sections)
    }
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as name:
        if "speed" in wanted:
            print(f"## Writing: medians of {ROUNDS} turns\n")
            print("| | | bans/s | against naive (least – most) | CPU µs a ban, client + server |")
            print("| --- | --- | --- | --- | --- |")
            for flavour in flavours():
                speed(flavour, Path(name))
        if "memory" in wanted:
            print("\n## Memory, bytes a ban, no matched lines; reports, milliseconds in the engine\n")
            print("| | bans | banledger | naive | ratio |\n| --- | --- | --- | --- | --- |")
            for bans in wanted["memory"] or [200_000]:
                for flavour in flavours():
                    memory(flavour, Path(name), bans)
        if "scan" in wanted:
            print(f"\n## Any mix of filters: medians of {SCANS} turns\n")
            print("| | | bans/s | against whole hashes (least – most) | CPU µs a ban, client + server |")
            print("| --- | --- | --- | --- | --- |")
            for bans in wanted["scan"] or [200_000]:
                for flavour in flavours():
                    scan(flavour, Path(name), bans)
        if "ranking" in wanted:
            print("\n## Top 20 addresses of a rolling 30 days\n\n| | | | | |\n| --- | --- | --- | --- | --- |")
            for bans in wanted["ranking"] or [10_000_000]:
                for flavour in flavours():
                    ranking(flavour, Path(name), bans)


if __name__ == "__main__":
    main(sys.argv[1:] or ["speed", "memory", "scan", "ranking"])
