"""`banledger import` from a store that is not there; e2e tests have a real one."""

from pathlib import Path

import click
import pytest

from banledger.cli.import_ import import_
from banledger.cli.main import commands
from banledger.cli.progress import ProgressBars
from tests.unit.cli.conftest import Run


def test_the_help_is_complete(banledger: Run) -> None:
    code, out, err = banledger("import", "--help")
    assert (code, err) == (0, "")
    assert "Example:" in out and "--dry-run" in out
    assert [p.name for p in import_.params if isinstance(p, click.Option) and not p.help] == []


def test_the_import_command_is_found_under_pythons_keyword() -> None:
    assert commands.get_command(click.Context(commands), "import") is import_


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("redis://127.0.0.1:1/0",), 2, "missing option '--server'"),
        (("redis://127.0.0.1:1/0", "--server", "web\n1"), 2, "invalid value for '--server'"),
        (("redis://127.0.0.1:1/0", "--server", "web1"), 5, "can't read the source"),
        (("nope://x", "--server", "web1"), 3, "invalid URL"),
    ],
)
def test_errors_are_two_lines_and_a_code(
    banledger: Run, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    got, out, err = banledger("import", *words, "--spool", str(tmp_path))
    assert (got, out) == (code, "")
    first, _ = err.splitlines()
    assert first.startswith(f"error: {message}")


def test_an_import_prints_once_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars() as progress:
        for _ in range(3):
            progress("bans", 1, 0)
            progress.say("the spool is full")
    assert capsys.readouterr().err == "the spool is full\n"
