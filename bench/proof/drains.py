"""Fill a store from a spool: the service's own way, and one relational table.

A drain runs in a child, by `bench/ledger.py --drain SPOOL STORE` (or `--table`) of its checkout. The child prints the
seconds of each batch of `BATCH` lines, and a last line of its own.
"""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench.proof.processes import Tree, cpu_seconds, waited

BATCH = 2000
"""Lines a batch, as the service reads them. Here, because the process that measures imports nothing of the package."""
WINDOW = 200_000
"""At most so many bans at the beginning and at the end are compared."""
SAY_S = 15


class Speed(NamedTuple):
    """Bans a second, and µs of CPU a ban."""

    bans_s: float
    cpu_us: float


class Drained(NamedTuple):
    """How a drain of so many bans went: as a whole, the first and last `window`; peak of memory; bytes on disk."""

    bans: int
    window: int
    whole: Speed
    first: Speed
    last: Speed
    peak_mb: float
    size: int


def drain(tree: Tree, kind: str, spool: Path, store: Path, bans: int) -> Drained:
    """Fill `store` from a spool (`kind`: `--drain`, which empties it, or `--table`), and say how far it is."""
    start = time.perf_counter()
    child = subprocess.Popen(
        tree.bench(kind, spool, store), stdout=subprocess.PIPE, text=True, env=tree.environment(), cwd=store.parent
    )
    seconds, cpu, said = [], [], start
    assert child.stdout
    for line in child.stdout:
        seconds.append(float(line))
        cpu.append(cpu_seconds(child.pid))
        if (now := time.perf_counter()) - said > SAY_S:
            said = now
            done = len(seconds) * BATCH
            print(f"{tree.name} {kind}: {done:,} of {bans:,}, {done / sum(seconds):,.0f}/s", file=sys.stderr)
    used = waited(child, start)
    full = bans // BATCH
    if len(seconds) not in (full + 1, full + 2):  # the last line is the end's
        print(f"{tree.name}: {len(seconds) - 1} batches, not {full}: first and last are not exact", file=sys.stderr)
        full = len(seconds) - 1
    window = max(1, min(WINDOW // BATCH, full // 2))
    return Drained(
        bans,
        window * BATCH,
        Speed(bans / sum(seconds[:-1]), (cpu[full - 1] - cpu[0]) / ((full - 1) * BATCH) * 1e6),
        _speed(seconds, cpu, 0, window),
        _speed(seconds, cpu, full - window, full),
        used.peak_mb,
        store.stat().st_size,
    )


def _speed(seconds: list[float], cpu: list[float], start: int, end: int) -> Speed:
    """Return the speed of some batches. The first is left out of CPU: it has the start of the process."""
    batches = end - max(1, start)
    spent = cpu[end - 1] - cpu[max(1, start) - 1]
    return Speed((end - start) * BATCH / sum(seconds[start:end]), spent / max(1, batches) / BATCH * 1e6)


# In the child


def drain_here(spool: Path, store: Path) -> None:
    """Record all lines of a spool as the service does, without whois."""
    from banledger.ledger.writer import open_to_write
    from banledger.service.recorder import Recorder
    from banledger.spool.reader import SpoolReader
    from banledger.whois.locate import offline_only

    recorder = Recorder(SpoolReader(spool), lambda: open_to_write(str(store), "bans", "UTC"), offline_only)
    while True:
        start = time.perf_counter()
        if not recorder.step(time.time()).lines:
            break
        print(time.perf_counter() - start)
    start = time.perf_counter()
    recorder.close()
    print(time.perf_counter() - start)


def table_here(spool: Path, store: Path) -> None:
    """Put the same lines into one table with an index each on address, jail, country and day."""
    from bench.proof.rows import rows

    db = sqlite3.connect(store, isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE ban (id TEXT PRIMARY KEY, ip, jail, country, day, hour, user, time, fields) WITHOUT ROWID;"
        "CREATE INDEX ip ON ban (ip); CREATE INDEX jail ON ban (jail); CREATE INDEX country ON ban (country);"
        "CREATE INDEX day ON ban (day);"
    )
    batch, start = [], time.perf_counter()
    for row in rows(spool):
        user = next(iter(row.users), "")
        batch.append((row.id, row.ip, row.jail, row.country, row.day, row.hour, user, row.time, row.line))
        if len(batch) == BATCH:
            db.execute("BEGIN")
            db.executemany("INSERT OR IGNORE INTO ban VALUES (?,?,?,?,?,?,?,?,?)", batch)
            db.execute("COMMIT")
            batch.clear()
            print(time.perf_counter() - start)
            start = time.perf_counter()
    db.executemany("INSERT OR IGNORE INTO ban VALUES (?,?,?,?,?,?,?,?,?)", batch)
    db.close()
    print(time.perf_counter() - start)
