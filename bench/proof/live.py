"""The running service: how soon a ban is visible, and what it uses when nothing happens."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from banledger.ledger.ids import ban_id
from banledger.ledger.merge import subject_of
from banledger.ledger.opening import open_to_read
from banledger.spool.events import BanLine
from bench.proof.processes import cpu_seconds, resident_mb


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
