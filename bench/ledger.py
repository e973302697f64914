"""The embedded ledger at a million bans: drain, size, memory, reports, delay. `python bench/ledger.py [bans]`.

`python bench/ledger.py --ask LEDGER` only asks one that is there.

Side by side in one run: the same lines into one relational table with an index each on address, jail, country and
day (what one would write first), the same questions asked of it by GROUP BY.
"""

import fcntl
import os
import random
import resource
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import iptocc
import msgspec

from banledger.ledger.ids import ban_id
from banledger.ledger.merge import subject_of
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import open_to_write
from banledger.service.recorder import BATCH, Recorder
from banledger.spool.events import BanLine, decode
from banledger.spool.reader import SpoolReader
from banledger.whois.locate import offline_only

YEAR_S = 365 * 86_400
SEGMENT = 1 << 20
WINDOW = 200_000

JAILS = ["sshd", "postfix-sasl", "dovecot", "nginx-http-auth", "nginx-botsearch", "recidive", "proftpd", "apache-auth"]


def lines(bans: int, now: float) -> Iterator[bytes]:
    """As many bans over a year, of a third as many addresses, in the order they happened."""
    rng = random.Random(4)
    addresses = [f"{rng.randint(1, 223)}.{_octets(rng)}" for _ in range(bans * 35 // 100)]
    names = ["root", "admin", "ubuntu", "test", "oracle", "postgres", *(f"user{n}" for n in range(3000))]
    for number in range(bans):
        moment = now - YEAR_S + YEAR_S * number / bans
        address = rng.choice(addresses)
        user = names[min(len(names) - 1, int(rng.paretovariate(0.5)) - 1)]
        matches = tuple(
            f"Nov 23 04:{n:02d}:26 web1 sshd[21516]: Failed password for {user} from {address} port 33558 ssh2"
            for n in range(3)
        )
        yield msgspec.json.encode(
            BanLine(
                v=1, seen=moment + 0.5, seq=number + 1, server="web1", jail=JAILS[min(7, int(rng.expovariate(0.8)))],
                fid=address, time=float(int(moment)), failures=5, bantime=600, bancount=1,
                users=(user,), matches=matches,
            )
        ) + b"\n"  # fmt: skip


def _octets(rng: random.Random) -> str:
    return ".".join(str(rng.getrandbits(8)) for _ in range(3))


def fill_spool(folder: Path, bans: int) -> None:
    """Segments of closed writers."""
    folder.mkdir()
    segment, number = bytearray(), 0

    def close() -> None:
        nonlocal number
        number += 1
        (folder / f"{1_700_000_000_000 + number}-abcdef01-{number}.jsonl").write_bytes(segment)
        segment.clear()

    for line in lines(bans, time.time()):
        segment += line
        if len(segment) >= SEGMENT:
            close()
    close()


def drain(spool: Path, store: Path) -> tuple[list[float], int]:
    """Seconds of each batch, and the peak of resident memory in MB, in a process of its own."""
    answer = subprocess.run(
        [sys.executable, __file__, "--drain", str(spool), str(store)], check=True, capture_output=True, text=True
    )
    *seconds, peak = answer.stdout.split()
    return [float(second) for second in seconds], int(peak)


def drain_here(spool: Path, store: Path) -> None:
    recorder = Recorder(SpoolReader(spool), lambda: open_to_write(str(store), "bans", "UTC"), offline_only)
    while True:
        start = time.perf_counter()
        if not recorder.step(time.time()).lines:
            break
        print(time.perf_counter() - start)
    recorder.close()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def drain_relational(spool: Path, store: Path) -> list[float]:
    """The same lines into one table."""
    db = sqlite3.connect(store, isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE ban (id TEXT PRIMARY KEY, ip, jail, country, day, hour, user, time, fields) WITHOUT ROWID;"
        "CREATE INDEX ip ON ban (ip); CREATE INDEX jail ON ban (jail); CREATE INDEX country ON ban (country);"
        "CREATE INDEX day ON ban (day);"
    )
    batch, seconds, start = [], [], time.perf_counter()
    texts = (line for path in sorted(spool.iterdir()) for line in path.read_bytes().split(b"\n")[:-1])
    for line in texts:
        event = decode(line)
        assert isinstance(event, BanLine)
        about = subject_of(event)
        id_ = ban_id(about.server, about.jail, about.fid, about.time)
        moment = datetime.fromtimestamp(about.time, UTC)
        batch.append(
            (id_, about.fid, about.jail, iptocc.country_code(about.fid), moment.strftime("%Y-%m-%d"), moment.hour,
             event.users[0], about.time, line)
        )  # fmt: skip
        if len(batch) == BATCH:
            db.execute("BEGIN")
            db.executemany("INSERT OR IGNORE INTO ban VALUES (?,?,?,?,?,?,?,?,?)", batch)
            db.execute("COMMIT")
            batch.clear()
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
    db.close()
    return seconds


GROUPS = """
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
since = db.execute("SELECT date('now', '-29 days')").fetchone()
for column in ("day", "country", "jail", "hour", "user", "ip"):
    top = f"SELECT {column}, count(*) AS n FROM ban WHERE day >= ? GROUP BY 1 ORDER BY n DESC LIMIT 20"
    print(db.execute(top, since).fetchall())
print(db.execute("SELECT count(*), count(DISTINCT ip) FROM ban").fetchall())
"""


def timed(bytecode: Path, *command: str, times: int = 9) -> tuple[float, float]:
    """Median milliseconds of a command, process start included: of the clock, and of CPU.

    `bytecode` is a folder to keep it in: an installed package has it, a checkout perhaps not.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    clock, cpu = [], []
    for _ in range(times):
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        _, status, used = os.wait4(child.pid, 0)
        clock.append((time.perf_counter() - start) * 1e3)
        cpu.append((used.ru_utime + used.ru_stime) * 1e3)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0, command
    return statistics.median(clock), statistics.median(cpu)


def ask(store: Path, bytecode: Path) -> None:
    """Print how long commands take."""
    program = str(Path(sys.executable).with_name("banledger"))
    for words in ("report", "report --since all", "top ip", "top user"):
        clock, cpu = timed(bytecode, program, *words.split(), "--store", str(store))
        print(f"| `{words}`, process start included, ms: clock, CPU | {clock:.0f}, {cpu:.0f} | | |")
    bare, _ = timed(bytecode, sys.executable, "-c", "pass", times=21)
    version, _ = timed(bytecode, program, "--version", times=21)
    print(f"| `--version` against `python -c pass`, ms | {version:.0f} | {bare:.0f} | {version / bare:.1f} |")


def cpu_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process now."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def serve(folder: Path, store: Path, registries: str = "") -> tuple[list[float], float, float]:
    """Delays from a ban's write until a report sees it; idle CPU in percent; resident MB of the running service.

    `registries`: how those of whois behave, see `tests.support.whois_recorder`; empty: nobody is asked.
    """
    spool = folder / "live"
    spool.mkdir()
    program = ["tests.support.whois_recorder", registries] if registries else ["banledger"]
    child = subprocess.Popen(
        [sys.executable, "-m", *program, "record", "--spool", str(spool), "--store", str(store)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "BANLEDGER_WHOIS_ENABLED": "true" if registries else "false"},
    )
    time.sleep(2)
    before = cpu_seconds(child.pid)
    time.sleep(20)
    idle = (cpu_seconds(child.pid) - before) / 20 * 100
    reader = open_to_read(str(store), "bans")
    segment = os.open(spool / "1700000000001-abcdef02-1.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o640)
    fcntl.flock(segment, fcntl.LOCK_EX)
    rng, delays = random.Random(5), []
    for number in range(300):
        event = BanLine(
            v=1, seen=time.time(), seq=number + 1, server="web1", jail="sshd", fid=f"5.0.{number}.1",
            time=float(int(time.time()) + number), failures=3, bantime=600, bancount=1,
        )  # fmt: skip
        about = subject_of(event)
        id_ = ban_id(about.server, about.jail, about.fid, about.time)
        start = time.perf_counter()
        os.write(segment, msgspec.json.encode(event) + b"\n")
        while reader.bans([id_]) == [None]:
            time.sleep(0.002)
        delays.append(time.perf_counter() - start)
        time.sleep(rng.uniform(0, 0.1))
    memory = resident_mb(child.pid)
    child.send_signal(signal.SIGTERM)
    child.wait()
    os.close(segment)
    return delays, idle, memory


def rate(seconds: list[float]) -> float:
    """Bans a second."""
    return BATCH * len(seconds) / sum(seconds)


def main(bans: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="banledger-bench-"))
    try:
        measure(folder, bans)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, bans: int) -> None:
    fill_spool(folder / "spool", bans)
    relational = drain_relational(folder / "spool", folder / "table.db")
    seconds, peak = drain(folder / "spool", folder / "ledger.db")
    window = max(1, min(WINDOW, bans) // BATCH)
    say: Callable[[str], None] = print
    say(f"## The embedded ledger: {bans:,} bans over a year, {bans * 35 // 100:,} addresses, 3 log lines each\n")
    say("| | banledger | one table, 4 indexes | ratio |\n| --- | --- | --- | --- |")
    for name, mine, theirs in (
        (f"first {window * BATCH:,} bans drained, durable, bans/s", rate(seconds[:window]), rate(relational[:window])),
        (f"last {window * BATCH:,}", rate(seconds[-window - 1 : -1]), rate(relational[-window:])),
        ("bytes a ban on disk", size(folder / "ledger.db") / bans, size(folder / "table.db") / bans),
    ):
        say(f"| {name} | {mine:,.0f} | {theirs:,.0f} | {mine / theirs:.2f} |")
    say(f"| peak resident memory while draining, MB | {peak} | | |")
    groups, cpu = timed(folder / "bytecode", sys.executable, "-c", GROUPS, str(folder / "table.db"), times=5)
    say(f"| what a report needs, asked of the table, 30 days, ms: clock, CPU | | {groups:.0f}, {cpu:.0f} | |")
    ask(folder / "ledger.db", folder / "bytecode")
    delays, idle, memory = serve(folder, folder / "ledger.db")
    p50, p99 = (sorted(delays)[int(len(delays) * part)] * 1e3 for part in (0.5, 0.99))
    say(f"| ban to visible, ms: median, p99 | {p50:.0f}, {p99:.0f} | | |")
    say(f"| service at {bans:,} bans: idle CPU %, resident MB | {idle:.2f}, {memory:.0f} | | |")


def size(path: Path) -> int:
    """Bytes of a closed database."""
    return path.stat().st_size


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drain"]:
        drain_here(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--ask"]:
        with tempfile.TemporaryDirectory(prefix="banledger-bench-") as bytecode:
            ask(Path(sys.argv[2]), Path(bytecode))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
