"""Questions to a ledger as whole commands: those that tallies answer, and ten mixes of filters."""

import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.proof.processes import Tree, Used, run

LIMIT_S = 60.0
"""The commit before gets so long for one question."""
QUICK_S = 2.0
"""Quicker commands run three times; their median counts."""

TALLIED = (
    "report",
    "top jail",
    "top country",
    "top ip",
    "top user",
    "top server",
    "top hour",
    "top day",
    "top country --jail sshd",
    "top day --country CN",
    "bans -n 20",
)
"""Answered by tallies, rankings or one day's set."""

MIXES = (
    "top ip --jail sshd",
    "top country --jail sshd --jail dovecot",
    "top user --jail sshd --country CN",
    "top ip --user root",
    "top user --ip 45.0.0.0/8",
    "top hour --server mail1 --user root --user admin",
    "report --jail sshd",
    "report --country US --user root",
    "bans -n 50 --jail dovecot --country DE",
    "bans -n 50 --user user249 --country BR",
)
"""Mixes of filters: of the largest and of small values, several values each, and a rare one."""

WANTED_S = 0.3
"""Of what tallies answer."""
MIXED_WANTED_S = {"top": (3.0, 0.3), "report": (10.0, 1.5), "bans": (0.3, 0.3)}
"""Of mixes, by command: of all time, and of 30 days."""


class Question(NamedTuple):
    """A command's words, its span as a title and as more words, and the seconds wanted at ten million bans."""

    words: str
    span: str
    dates: tuple[str, ...]
    wanted_s: float

    @property
    def command(self) -> list[str]:
        """Return the words of the command."""
        return [*self.words.split(), *self.dates]


class Asked(NamedTuple):
    """What a question took (None: longer than allowed), and the answer."""

    used: Used | None
    answer: str


def questions(until: float) -> list[Question]:
    """Return all questions to a ledger whose last ban is at `until` (epoch seconds)."""
    end = datetime.fromtimestamp(until, UTC).date()
    recent = ("--since", str(end - timedelta(29)))
    middle = ("--since", str(end - timedelta(209)), "--until", str(end - timedelta(180)))
    every = ("--since", "all")
    found = []
    for words in TALLIED:
        found += [Question(words, "all time", every, WANTED_S), Question(words, "30 days", recent, WANTED_S)]
    for words in MIXES:
        whole, month = MIXED_WANTED_S[words.split()[0]]
        found += [Question(words, "all time", every, whole), Question(words, "30 days in the middle", middle, month)]
    return found


def ask(tree: Tree, store: Path, asked: Sequence[Question], limit_s: float = LIMIT_S) -> list[Asked]:
    """Ask each question by a command of its own, process start included."""
    program = [sys.executable, "-m", "banledger"]
    run(tree, [*program, "report", "--store", str(store)], limit_s)  # compiles, and fetches the file
    found = []
    for question in asked:
        command = [*program, *question.command, "--store", str(store)]
        used, answer = run(tree, command, limit_s)
        several = [used] if used else []
        if used and used.wall_s < QUICK_S:
            several += [again for _ in range(2) if (again := run(tree, command, limit_s)[0])]
        print(f"{tree.name}: {' '.join(question.command)}: {_wall(used)} s", file=sys.stderr)
        found.append(Asked(_median(several), answer))
    return found


def _median(several: Sequence[Used]) -> Used | None:
    """Return the median of each figure."""
    return Used(*map(statistics.median, zip(*several, strict=True))) if several else None


def _wall(used: Used | None) -> str:
    return f"{used.wall_s:.3f}" if used else "too long"
