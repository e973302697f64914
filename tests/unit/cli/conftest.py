"""The command line over a small ledger."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from banledger.cli.main import run
from tests.support.lines import ban, gap
from tests.unit.report.conftest import write

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A ledger with 30 bans of the last 31 hours, by two jails, and a gap."""
    now = int(time.time())
    lines = [
        ban(
            f"192.0.2.{n % 9}",
            now - n * 3600 - 1800,
            jail="sshd" if n % 3 else "nginx",
            users=("root",) if n % 2 else (),
        )
        for n in range(30)
    ]
    write(tmp_path / "ledger.db", [*lines, ban("10.0.0.1", now, users=("\x1b[31m=é",)), gap(now)])
    return tmp_path / "ledger.db"


@pytest.fixture
def banledger(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the command line: exit code, stdout, stderr."""
    monkeypatch.setenv("BANLEDGER_STORE", str(store))
    monkeypatch.setattr(logging.getLogger("banledger"), "handlers", [])  # `record` logs to this test's stderr
    for name in ("COLUMNS", "NO_COLOR", "BANLEDGER_CONFIG", "BANLEDGER_PREFIX"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call
