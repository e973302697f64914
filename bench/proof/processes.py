"""Children, and what they use.

The kernel starts a child's peak of memory at that of its parent, so the process that measures must stay small: it
imports nothing of the package, and leaves all work to children.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from typing import NamedTuple

RARELY = """
import gc, runpy, sys
gc.set_threshold(50_000)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a file that collects garbage as rarely as the service does, also that of an older checkout."""
TICKS = os.sysconf("SC_CLK_TCK")


class Tree(NamedTuple):
    """A checkout: `name` for tables, its root, and a folder for bytecode (an installed package has it)."""

    name: str
    root: Path
    bytecode: Path

    def environment(self) -> dict[str, str]:
        """Return the environment in which Python finds this checkout before any other, and no settings of ours."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BANLEDGER_"))}
        path = os.pathsep.join((str(self.root / "src"), str(self.root)))
        return ours | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(self.bytecode), "PYTHONUNBUFFERED": "1"}

    def bench(self, *words: object) -> list[str]:
        """Return the command that runs this checkout's `bench/ledger.py`."""
        return [sys.executable, "-c", RARELY, str(self.root / "bench" / "ledger.py"), *map(str, words)]


class Used(NamedTuple):
    """What a command took: seconds by the clock and of CPU, and its peak of resident memory, MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def waited(child: "subprocess.Popen[str]", start: float) -> Used:
    """Wait for a child that was started at `start` (`time.perf_counter`). It must end well, or by our SIGKILL."""
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, -9):
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def run(tree: Tree, command: Sequence[str], limit_s: float = 1e6) -> tuple[Used | None, str]:
    """Return what a command took (None: it was ended after `limit_s`), and what it printed."""
    with (tree.bytecode.parent / "printed").open("w+") as printed:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=printed, stderr=subprocess.PIPE, text=True, env=tree.environment())
        timer = Timer(limit_s, child.kill)
        timer.start()
        assert child.stderr
        complaint = child.stderr.read()
        try:
            used = waited(child, start)
        except subprocess.CalledProcessError:
            sys.stderr.write(complaint)
            raise
        finally:
            timer.cancel()
        printed.seek(0)
        return (used if child.returncode == 0 else None), printed.read()


def cpu_seconds(pid: int) -> float:
    """Return what a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process now."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
