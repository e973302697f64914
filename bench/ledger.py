"""The embedded ledger beside the commit before and one relational table: filling, size, memory, questions, delay.

    PYTHONPATH=. python bench/ledger.py [BANS] [--before COMMIT] [--log FILE] [--duckdb]
    PYTHONPATH=. python bench/ledger.py --ask LEDGER     only asks, of a ledger whose last ban was a day ago

One run: the same lines are given to a relational table with an index each on address, jail, country and day (what one
would write first), to the commit before (its sources are unpacked beside), and to this checkout. Both ledgers are asked
the same, by whole commands. All lies in a temporary directory (see TMPDIR), at most about 3 KB a ban. Progress goes to
stderr.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from bench.proof import questions, tables
from bench.proof.before import FORMAT_1, unpack
from bench.proof.drains import Drained, drain, drain_here, table_here
from bench.proof.processes import Tree, run

ROOT = Path(__file__).resolve().parents[1]
BARE_MOST = 1_000_000
"""At most so many bans are recorded without lines."""
AGO_S = 86_400
"""The last ban was a day ago: nothing is in force, so answers don't depend on the moment."""

GROUPS = """
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
since = db.execute("SELECT date('now', '-29 days')").fetchone()
for column in ("day", "country", "jail", "hour", "user", "ip"):
    top = f"SELECT {column}, count(*) AS n FROM ban WHERE day >= ? GROUP BY 1 ORDER BY n DESC LIMIT 20"
    print(db.execute(top, since).fetchall())
print(db.execute("SELECT count(*), count(DISTINCT ip) FROM ban").fetchall())
"""
"""What a report needs, asked of the table."""


class Comparison:
    """One run, in a folder of its own."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._bans: int = options.bans
        self._bare = min(BARE_MOST, self._bans)
        self._log = str(options.log.resolve()) if options.log else "made-up"
        self._limit_s: float = options.limit
        self._until = time.time() - AGO_S
        self._folder = folder
        self._spool = folder / "spool"
        self._asked = questions.questions(self._until)
        self._now = Tree("now", ROOT, folder / "bytecode")
        self._before = None if options.before == "none" else unpack(ROOT, options.before, folder)
        self._duckdb: bool = options.duckdb

    def run(self) -> None:
        """Do it all, and print tables."""
        say(f"## {self._bans:,} bans over a year, three log lines each ({Path(self._log).name})\n")
        columns: list[tuple[str, Drained | None]] = [("one table, 4 indexes", self._relational())]
        bare: list[tuple[str, Drained | None]] = [("one table, 4 indexes", None)]
        answers: dict[str, list[questions.Asked]] = {}
        if self._duckdb:
            self._yardstick()
        for tree in filter(None, (self._before, self._now)):
            store = self._folder / f"{tree.name}.db"
            columns.append((tree.name, self._filled(tree, store, self._bans, self._log)))
            answers[tree.name] = questions.ask(tree, store, self._asked, self._limit_s)
            if tree is not self._now:
                remove(store)
            scratch = self._folder / "bare.db"
            bare.append((tree.name, self._filled(tree, scratch, self._bare, "none")))
            remove(scratch)
        self._say("Filled:", *tables.filling(columns))
        self._say(f"Filled with {self._bare:,} bans without lines:", *tables.filling(bare))
        self._say("Asked:", *tables.answers(self._asked, answers.get("before", []), answers["now"], self._limit_s))
        self._live()

    def _say(self, title: str, *rows: str) -> None:
        say(f"\n{title}\n", *rows, sep="\n")

    def _fill_spool(self, bans: int, lines: str) -> None:
        """Make the spool in a child. `lines`: see `matched_by`."""
        shutil.rmtree(self._spool, ignore_errors=True)
        note(f"making {bans:,} bans, lines: {lines}")
        words = self._now.bench("--fill", self._spool, bans, self._until, lines)
        subprocess.run(words, check=True, env=self._now.environment())

    def _filled(self, tree: Tree, store: Path, bans: int, lines: str) -> Drained:
        self._fill_spool(bans, lines)
        return drain(tree, "--drain", self._spool, store, bans)

    def _relational(self) -> Drained:
        """Fill the table, ask it what a report needs, and keep the spool."""
        store = self._folder / "table.db"
        self._fill_spool(self._bans, self._log)
        done = drain(self._now, "--table", self._spool, store, self._bans)
        used, _ = run(self._now, [sys.executable, "-c", GROUPS, str(store)])
        say(f"What a report of 30 days needs, asked of the table: {tables.cells(used, self._limit_s)} (s, CPU s, MB)")
        remove(store)
        return done

    def _yardstick(self) -> None:
        """Print what the mixes take in DuckDB, from the spool that is there."""
        if find_spec("duckdb") is None:
            note("no DuckDB here (dependency group `bench`): skipped")
            return
        store, program = self._folder / "duck.db", [sys.executable, "-m", "bench.proof.duck"]
        used, _ = run(self._now, [*program, "load", str(self._spool), str(store)])
        size = store.stat().st_size / self._bans
        rows = [
            f"| `{asked.words}` | {asked.span} | {tables.cells(took, self._limit_s)} |"
            for asked in self._asked
            if asked.words in questions.MIXES
            for took, _ in [run(self._now, [*program, "ask", str(store), *asked.command])]
        ]
        title = f"DuckDB, no lines: {size:.1f} bytes a ban; loaded in {tables.cells(used, self._limit_s)}"
        self._say(title, "| question | span | s, CPU s, MB |", "| --- | --- | --- |", *rows)
        remove(store)

    def _live(self) -> None:
        """Print how soon the service makes a ban visible. Comes last: what it imports makes this process large."""
        from bench.proof.live import serve

        delays, idle, memory = serve(self._folder, self._folder / "now.db")
        p50, p99 = (sorted(delays)[int(len(delays) * part)] * 1e3 for part in (0.5, 0.99))
        rows = [f"| ban to visible, ms: median, p99 | {p50:.0f}, {p99:.0f} |"]
        rows += [f"| idle: CPU %, resident MB | {idle:.2f}, {memory:.0f} |"]
        self._say("The service:", "| | now |", "| --- | --- |", *rows)


def say(*lines: str, sep: str = " ") -> None:
    """Print a result at once."""
    print(*lines, sep=sep, flush=True)


def note(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def remove(store: Path) -> None:
    """Remove a database and what lies beside it."""
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()


def only_ask(store: Path, folder: Path, limit_s: float) -> None:
    """Ask a ledger that is there, and print what each question takes."""
    asked = questions.questions(time.time() - AGO_S)
    found = questions.ask(Tree("now", ROOT, folder / "bytecode"), store, asked, limit_s)
    say(*tables.answers(asked, [], found, limit_s), sep="\n")


def fill_here(spool: Path, bans: int, until: float, lines: str) -> None:
    """Make a spool. `lines`: `made-up`, `none`, or the path of a log."""
    from bench.proof import log_lines
    from bench.proof.bans import fill_spool

    known = {"made-up": log_lines.made_up, "none": log_lines.none}
    fill_spool(spool, bans, until, known.get(lines) or log_lines.of_log(Path(lines)))


def child(kind: str, *words: str) -> None:
    """Do one part, in a process of its own."""
    if kind == "--fill":
        fill_here(Path(words[0]), int(words[1]), float(words[2]), words[3])
    else:
        (drain_here if kind == "--drain" else table_here)(Path(words[0]), Path(words[1]))


def main() -> None:
    """Read the options, and run."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("bans", nargs="?", type=int, default=1_000_000)
    options.add_argument("--before", default=FORMAT_1, metavar="COMMIT", help="default: %(default)s; `none`: skip it")
    options.add_argument("--log", type=Path, metavar="FILE", help="take matched lines from this log (`.gz` too)")
    options.add_argument("--limit", type=float, default=questions.LIMIT_S, metavar="SECONDS", help="for one question")
    options.add_argument("--duckdb", action="store_true", help="ask DuckDB too")
    options.add_argument("--ask", type=Path, metavar="LEDGER", help="only ask a ledger that is there")
    found = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    with tempfile.TemporaryDirectory(prefix="banledger-bench-") as name:
        if found.ask:
            only_ask(found.ask.resolve(), Path(name), found.limit)
        else:
            Comparison(found, Path(name)).run()


if __name__ == "__main__":
    if sys.argv[1:2] in (["--fill"], ["--drain"], ["--table"]):
        child(*sys.argv[1:])
    else:
        main()
