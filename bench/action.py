"""What the action costs fail2ban: an empty action and banledger's side by side on a real server.

    python bench/action.py [--bans 2000] [--pairs 5]

Two figures. The CPU time of the jail's own thread in one `ban()`, measured inside the server around the call (so
neither the rest of fail2ban nor a busy machine is in it). And the time from a log with that many offenders until
all of them are banned, in pairs that take turns, so that both actions see the same machine.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from banledger.fail2ban import PrivateServer, action_line

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


class Bench:
    """A directory with the two actions and a log of so many offenders, five failures each."""

    def __init__(self, directory: Path, bans: int) -> None:
        self.directory = directory
        self.bans = bans
        self.log = directory / "auth.log"
        self.ours = Path(str(files("banledger.action") / "banledger.py"))
        self.empty = self.write("empty.py", EMPTY)
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

    def new_spool(self) -> Path:
        self.runs += 1
        spool = self.directory / f"spool-{self.runs}"
        spool.mkdir(0o770)
        return spool

    def run(self, action: str) -> tuple[float, PrivateServer]:
        """Seconds until all are banned, from the moment that the log appears; the server is stopped."""
        self.log.write_text("")
        jail = {"filter": "sshd", "logpath": str(self.log), "action": action}
        server = PrivateServer(
            self.directory / f"server-{self.runs}",
            {"sshd": jail},
            defaults={"bantime": "1h", "findtime": "1h", "maxretry": "5"},
            actions=[self.empty, self.timed],
        )
        with server:
            self.write_log()
            began = time.monotonic()
            wait_for(lambda: server.log_text().count("] Ban ") >= self.bans)
            return time.monotonic() - began, server

    def thread_times(self, delegate: Path, **options: str | Path) -> list[float]:
        """Seconds of CPU of each ban() of one run."""
        spool = self.new_spool()
        times = self.directory / f"times-{self.runs}.json"
        self.run(action_line(delegate=delegate, times=times, spool=spool, **options).replace("banledger", "timed", 1))
        taken: list[float] = json.loads(times.read_text())
        return taken

    def whole_log(self, name: str) -> float:
        """Seconds for the whole log with one action."""
        spool = self.new_spool()
        seconds, _ = self.run(action_line(spool=spool).replace("banledger.py", f"{name}.py", 1))
        if name == "banledger":
            lines = sum(path.read_bytes().count(b'"kind":"ban"') for path in spool.iterdir())
            assert lines == self.bans, f"{lines} of {self.bans} bans are in the spool"
        return seconds


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait up to two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the server did not ban all of them in two minutes"
        time.sleep(0.01)


def main() -> None:
    """Measure and print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bans", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as directory:
        bench = Bench(Path(directory), asked.bans)
        report_thread_times(bench)
        report_whole_log(bench, asked.pairs)


def report_thread_times(bench: Bench) -> None:
    empty = bench.thread_times(bench.empty)
    ours = bench.thread_times(bench.ours)
    print(f"CPU time of the jail's thread in one ban(), {len(ours)} bans:\n")
    print("| action | median | 99 % below |\n|---|---|---|")
    for name, taken in (("empty", empty), ("banledger", ours)):
        p99 = statistics.quantiles(taken, n=100)[98]
        print(f"| {name} | {statistics.median(taken) * 1e6:.1f} µs | {p99 * 1e6:.1f} µs |")
    print(f"| **added** | **{(statistics.median(ours) - statistics.median(empty)) * 1e6:.1f} µs** | |\n")


def report_whole_log(bench: Bench, pairs: int) -> None:
    measured = []
    for number in range(pairs):
        order = ("empty", "banledger") if number % 2 == 0 else ("banledger", "empty")
        seconds = {name: bench.whole_log(name) for name in order}
        measured.append((seconds["empty"], seconds["banledger"]))
    ratios = [ours / empty for empty, ours in measured]
    print(f"A log of {bench.bans} bans, {pairs} pairs:\n")
    print("| | empty | banledger | ratio |\n|---|---|---|---|")
    for empty, ours in measured:
        print(f"| pair | {empty:.2f} s | {ours:.2f} s | {ours / empty:.3f} |")
    medians = [statistics.median(column) for column in zip(*measured, strict=True)]
    print(f"| **median** | {medians[0]:.2f} s | {medians[1]:.2f} s | **{statistics.median(ratios):.3f}** |")


if __name__ == "__main__":
    main()
