"""The past of a machine, and the step that imports it: fail2ban's logs, its database, systemd's journal."""

import shlex
import subprocess
from functools import cached_property
from pathlib import Path

from banledger.errors import BanledgerError
from banledger.importer.content import STDIN
from banledger.setup.changes import ROOT, STATE, write_whole
from banledger.setup.command import TIMED_OUT, run, system_command
from banledger.setup.jails import JailWork
from banledger.setup.machine import Machine

_UNIT = "fail2ban"


class Past:
    """What there is to import. program: the path of the installed banledger."""

    def __init__(self, machine: Machine, jails: JailWork, program: Path) -> None:
        self._machine, self._jails, self._program = machine, jails, program
        self._mark = machine.place(f"{STATE}/imported")

    @cached_property
    def _logs(self) -> list[str]:
        return _rotations(self._jails.log_target())

    @cached_property
    def _database(self) -> str:
        database = self._jails.now.database
        return database if Path(database or ".").is_file() else ""

    @cached_property
    def _journal(self) -> bool:
        return self._machine.systemd and _has_bans(system_command("journalctl"))

    @property
    def title(self) -> str:
        """The step. What is imported already is not looked for again: that may read the whole journal."""
        return "import the past" if self.imported() else f"import the past: {self._found}"

    @property
    def _found(self) -> str:
        """What would be imported."""
        first = self._logs[0] if self._logs else ""
        more = f" and {len(self._logs) - 1} more" if len(self._logs) > 1 else ""
        found = ", ".join(filter(None, (first + more, self._database, "systemd's journal" if self._journal else "")))
        return found or "there is none"

    def words(self, spool: Path) -> list[str]:
        """The command that imports it; none if there is nothing."""
        sources = [*self._logs, *filter(None, (self._database, STDIN if self._journal else ""))]
        return sources and [
            str(self._program),
            "import",
            *sources,
            "--server",
            self._jails.options["server"],
            "--spool",
            str(spool),
        ]

    def imported(self) -> bool:
        """Whether a setup did that before."""
        return self._mark.exists()

    def do(self, spool: Path) -> None:
        """Import it; its progress and summary are ours. Raises BanledgerError."""
        words = self.words(spool)
        if words and not self._imports(words):
            raise BanledgerError(
                "the past is not imported, all else is done",
                hint=f"see what it said above; to import it by hand: {self._line(words)};"
                " to leave it: banledger setup --no-import",
            )
        self._mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._mark, b"", 0o600, ROOT)

    def _imports(self, words: list[str]) -> bool:
        """Run the import; return whether it worked."""
        if self._journal:
            with subprocess.Popen(_export(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/") as process:
                code = subprocess.run(words, stdin=process.stdout, check=False, cwd="/").returncode
            code = code or process.returncode
        else:
            code = subprocess.run(words, stdin=subprocess.DEVNULL, check=False, cwd="/").returncode
        return code == 0

    def _line(self, words: list[str]) -> str:
        """The same for a shell."""
        line = shlex.join(words)
        return f"{shlex.join(_export())} | {line}" if self._journal else line


def _export() -> list[str]:
    """The command that writes fail2ban's part of systemd's journal."""
    return [system_command("journalctl"), "--quiet", "--no-pager", "--unit", _UNIT, "--output", "json"]


def _rotations(target: str) -> list[str]:
    """The file that fail2ban logs to, and its rotations."""
    path = Path(target.partition("[")[0]) if target.startswith("/") else Path()
    if not path.name:
        return []
    return sorted(str(one) for one in path.parent.glob(f"{path.name}*") if one.is_file() and one.stat().st_size)


def _has_bans(journalctl: str) -> bool:
    """Whether systemd's journal may have bans of fail2ban, as where its log goes there: yes if that takes too long."""
    if not journalctl:
        return False
    words = [
        "--quiet",
        "--no-pager",
        "--unit",
        _UNIT,
        "--output",
        "cat",
        "--grep",
        r"\] (Restore )?Ban ",
        "--lines",
        "1",
    ]
    said = run([journalctl, *words])
    return bool(said.out.strip()) or said.code == TIMED_OUT
