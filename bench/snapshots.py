"""What snapshots cost bans, and whether they ever end a ban wrongly: fail2ban's own classes, its own interpreter.

    python bench/snapshots.py [--held 100000] [--snapshots 50]

A jail holds that many tickets. New ones are banned and old ones lifted as fast as it goes, while the action's thread
takes one snapshot after the other; then the same number of bans without snapshots. `ban()` is timed by the wall clock,
waiting for the interpreter's lock included. Then the spool is drained, and what the ledger has in force is compared
with what the jail holds.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median

from banledger.demo.installation import locate
from banledger.geo.place import Place
from banledger.ledger.writer import Ledger, open_to_write
from banledger.report.show import state_of
from banledger.service.recorder import Recorder
from banledger.spool.reader import SpoolReader

INSIDE = r"""
import importlib.machinery, json, sys, time
from fail2ban.server.actions import Actions
from fail2ban.server.banmanager import BanManager
from fail2ban.server.ticket import BanTicket

action_file, spool, held, snapshots, bans = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])


class Jail:
    name, database, hasFailTickets = "sshd", None, False


jail = Jail()
jail.actions = Actions(jail)
jail.actions.setBanTime(-1)
module = importlib.machinery.SourceFileLoader("measured", action_file).load_module()
module.Spool.RETRY_S = 0.01
module.Snapshots.SETTLED_S = 0.0
module.Snapshots.EVERY_S = 0.0 if snapshots else 1e9
taken = []
parts_of = module.Snapshots._parts


def counted(self, *args):
    taken.append(time.monotonic())
    return parts_of(self, *args)


module.Snapshots._parts = counted
now = int(time.time())
manager = jail.actions.banManager
address = lambda n: "10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255)
info = lambda ticket: Actions.ActionInfo(ticket, jail)
action = module.Action(jail, "banledger", spool=spool, server="web1", spool_max="4g")
jail.actions.active = True
for n in range(held):
    manager.addBanTicket(BanTicket(address(n), now))
    action.ban(info(manager._BanManager__banList[address(n)]))
action.start()
times, n = [], held
while len(taken) <= snapshots if snapshots else len(times) < bans:
    ticket = BanTicket(address(n), now + 1)
    manager.addBanTicket(ticket)
    told = info(ticket)
    began = time.perf_counter()
    action.ban(told)
    times.append(time.perf_counter() - began)
    if n % 2:
        action.unban(info(manager.getTicketByID(address(n - held))))
        action.unban(info(manager.getTicketByID(address(n - held - 1))))
    n += 1
action.stop()
print(json.dumps({"times": times, "held": manager.getBanList(), "snapshots": len(taken)}, default=str))
"""


def run(directory: Path, held: int, snapshots: int, bans: int) -> dict[str, list[float]]:
    """Bans until so many snapshots were taken, or so many bans without any."""
    spool = directory / f"spool-{snapshots}"
    spool.mkdir()
    found = locate()
    action = str(files("banledger.action") / "banledger.py")
    words = ["/usr/bin/python3", "-c", INSIDE, action, str(spool), *map(str, (held, snapshots, bans))]
    said = subprocess.run(words, env=found.environment(), check=True, capture_output=True, text=True)
    answer: dict[str, list[float]] = json.loads(said.stdout)
    return answer


def nowhere(_address: str | None, _time: float) -> Place:
    return Place("private")


def wrong(directory: Path, spool: Path, held: Sequence[object]) -> tuple[int, int]:
    """How many bans the ledger has in force that the jail does not hold, and the other way round."""

    def connect() -> Ledger:
        return open_to_write(str(directory / "ledger.db"), "bans", "UTC")

    recorder = Recorder(SpoolReader(spool), connect, nowhere)
    ledger = recorder.open()
    recorder.drain(time.time())
    ids = list(ledger.store().members(ledger.keys.members("jail", "sshd")))
    in_force = set()
    for start in range(0, len(ids), 5000):
        some = ledger.bans(ids[start : start + 5000])
        in_force |= {ban.fid for ban in some if ban and state_of(ban, time.time()).in_force}
    recorder.close()
    return len(in_force - set(held)), len(set(held) - in_force)


def percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(share * (len(times) - 1))]


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, default=100_000)
    parser.add_argument("--snapshots", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as name:
        directory = Path(name)
        busy = run(directory, asked.held, asked.snapshots, 0)
        calm = run(directory, asked.held, 0, len(busy["times"]))
        print(f"{len(busy['times']):,} bans, {asked.held:,} held, {busy['snapshots']} snapshots:\n")
        print("| one ban(), wall clock | without snapshots | with |")
        print("|---|---|---|")
        for title, of in (
            ("median, µs", lambda times: median(times)),
            ("p99, µs", lambda times: percentile(times, 0.99)),
            ("p99.9, µs", lambda times: percentile(times, 0.999)),
            ("most, µs", max),
        ):
            print(f"| {title} | {of(calm['times']) * 1e6:,.0f} | {of(busy['times']) * 1e6:,.0f} |")
        too_many, missing = wrong(directory, directory / f"spool-{asked.snapshots}", busy["held"])
        print(f"\nin force by the ledger and not held: {too_many}; held and not in force: {missing}")


if __name__ == "__main__":
    main()
