"""What the action costs fail2ban: an empty action and banledger's side by side on a real server.

    python bench/action.py [--bans 2000] [--pairs 10] [--all-cpus]

Each run is a server of its own and a log with that many offenders; the two actions take turns, first the one, then
the other. Three figures of each run. The CPU time of the jail's own thread in one `ban()`, taken inside the server
around the call: its median over the bans. The time from the first failure found to the last ban, by the server's log.
And the CPU time of the whole server over the same log, which a busy machine disturbs less than that.

All of it stays on one CPU, unless told otherwise: fail2ban's threads take turns anyway, and where they wander from
one to another a run differs from the next by more than the action costs.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.support.fail2ban import PrivateServer

from banledger.demo.fail2ban import action_line

EMPTY = '''
class Action(object):
    """Does nothing: what fail2ban itself costs."""

    _prolongable = True
    banEpoch = 0

    def __init__(self, jail, name, **options):
        pass

    def start(self): pass
    def stop(self): pass
    def ban(self, aInfo): pass
    def reban(self, aInfo): pass
    def unban(self, aInfo): pass
    def prolong(self, aInfo): pass
    def flush(self): return True
'''

TIMED = '''
import importlib.machinery, json, time


class Action(object):
    """Hands each call to another action and measures its ban()."""

    _prolongable = True
    banEpoch = 0

    def __init__(self, jail, name, delegate, times, **options):
        module = importlib.machinery.SourceFileLoader("delegate_" + name, delegate).load_module()
        self.inner, self.times, self.taken = module.Action(jail, name, **options), times, []

    def ban(self, aInfo):
        began = time.thread_time()
        self.inner.ban(aInfo)
        self.taken.append(time.thread_time() - began)

    def stop(self):
        self.inner.stop()
        with open(self.times, "w") as file:
            json.dump(self.taken, file)

    def start(self): self.inner.start()
    def reban(self, aInfo): self.inner.reban(aInfo)
    def unban(self, aInfo): self.inner.unban(aInfo)
    def prolong(self, aInfo): self.inner.prolong(aInfo)
    def flush(self): return True
'''


class Run(NamedTuple):
    """What one run took: seconds of the jail's thread in one ban(), of the clock, and of all the server's CPU."""

    ban: float
    clock: float
    cpu: float


class Bench:
    """A directory with the two actions and a log of so many offenders, five failures each."""

    def __init__(self, directory: Path, bans: int) -> None:
        self.directory = directory
        self.bans = bans
        self.log = directory / "auth.log"
        self.delegates = {
            "empty": self.write("empty.py", EMPTY),
            "banledger": Path(str(files("banledger.action") / "banledger.py")),
        }
        self.timed = self.write("timed.py", TIMED)
        self.runs = 0

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def write_log(self) -> None:
        """Failures of a moment ago; five of each address, as sshd logs them."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.log.open("w") as log:
            for number in range(self.bans):
                address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
                for port in range(5):
                    log.write(f"{now} web1 sshd[77]: Failed password for root from {address} port {port} ssh2\n")

    def run(self, name: str) -> Run:
        """The whole log with one action."""
        self.runs += 1
        spool = self.directory / f"spool-{self.runs}"
        spool.mkdir(0o770)
        times = self.directory / f"times-{self.runs}.json"
        action = action_line(delegate=self.delegates[name], times=times, spool=spool).replace("banledger", "timed", 1)
        self.log.write_text("")
        server = PrivateServer(
            self.directory / f"server-{self.runs}",
            {"sshd": {"filter": "sshd", "logpath": str(self.log), "action": action}},
            defaults={"bantime": "1h", "findtime": "1h", "maxretry": "5"},
            actions=[self.timed],
        )
        with server:
            before = cpu_seconds(server)
            self.write_log()
            wait_for(lambda: server.log_text().count("] Ban ") >= self.bans)
            cpu = cpu_seconds(server) - before
        taken = json.loads(times.read_text())
        assert len(taken) == self.bans
        if name == "banledger":
            lines = sum(path.read_bytes().count(b'"kind":"ban"') for path in spool.iterdir())
            assert lines == self.bans, f"{lines} of {self.bans} bans are in the spool"
        return Run(median(taken), clock_seconds(server.log_text()), cpu)


def clock_seconds(log: str) -> float:
    """From the first failure found to the last ban."""
    first, *_, last = [line[:23] for line in log.splitlines() if "] Found " in line or "] Ban " in line]
    began, ended = (datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f") for moment in (first, last))  # noqa: DTZ007
    return (ended - began).total_seconds()


def cpu_seconds(server: PrivateServer) -> float:
    """What the server has used, all its threads, by the kernel's clock of the process (clock_getcpuclockid(3))."""
    assert server.pid is not None
    return time.clock_gettime(~server.pid << 3 | 2)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait up to two minutes, without a share in the work."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the server did not ban all of them in two minutes"
        time.sleep(0.2)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bans", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--all-cpus", action="store_true")
    asked = parser.parse_args()
    if not asked.all_cpus:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    runs: dict[str, list[Run]] = {"empty": [], "banledger": []}
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as directory:
        bench = Bench(Path(directory), asked.bans)
        for number in range(asked.pairs):
            for name in sorted(runs, reverse=number % 2 == 0):
                runs[name].append(bench.run(name))
    where = "all CPUs" if asked.all_cpus else "one CPU"
    print(f"A log of {asked.bans} bans, {asked.pairs} pairs, on {where}:\n")
    print_table(runs["empty"], runs["banledger"])


def print_table(empty: Sequence[Run], ours: Sequence[Run]) -> None:
    print("| median of the runs | empty | banledger | added | ratio, median of the pairs | ratio of the least |")
    print("|---|---|---|---|---|---|")
    one, two = ([run.ban * 1e6 for run in runs] for runs in (empty, ours))
    print(f"| one ban(), its thread's CPU, µs | {median(one):.1f} | {median(two):.1f} | {added(one, two):.1f} | | |")
    print(f"| the least of the runs | {min(one):.1f} | {min(two):.1f} | {min(two) - min(one):.1f} | | |")
    for name, field in (("the log, clock, s", "clock"), ("the log, server's CPU, s", "cpu")):
        one, two = ([getattr(run, field) for run in runs] for runs in (empty, ours))
        ratio, least = median(b / a for a, b in zip(one, two, strict=True)), min(two) / min(one)
        print(f"| {name} | {median(one):.3f} | {median(two):.3f} | {added(one, two):.3f} | {ratio:.3f} | {least:.3f} |")


def added(empty: Sequence[float], ours: Sequence[float]) -> float:
    """The difference within a pair, its median."""
    return median(b - a for a, b in zip(empty, ours, strict=True))


if __name__ == "__main__":
    main()
