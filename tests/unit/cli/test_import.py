"""`banledger import` from files, and from a store that is not there; e2e tests have a real one."""

import json
from pathlib import Path

import click
import pytest

from banledger.cli.import_ import import_
from banledger.cli.main import commands
from banledger.cli.progress import ProgressBars
from tests.unit.cli.conftest import Run
from tests.unit.importer.test_survey import LOG


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


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text(LOG)
    return path


def test_a_dry_run_says_what_each_source_holds(banledger: Run, log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("x\x1b[31m\n")
    code, out, err = banledger("import", str(other), str(log), "--dry-run", "--timezone", "UTC")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{log}: log of fail2ban 1.0.2",
        "  2026-11-23 to 2026-11-23, 5 lines, 2 bans: 1 dated by their last failure, 1 by their own line",
        "  1 unban",
        "  sshd 1, web 1",
        f"refused: {other}: it is no log or database of fail2ban",
        "2 bans found: 1 with their ticket's second, 1 dated by their own line",
    ]


def test_a_dry_run_as_json_has_all_counts(banledger: Run, log: Path, tmp_path: Path) -> None:
    code, out, _ = banledger("import", str(log), str(tmp_path / "none"), "--dry-run", "--json", "--timezone", "UTC")
    answer = json.loads(out)

    assert code == 0 and answer["bans"] == 2
    assert answer["refused"] == [
        {"path": str(tmp_path / "none"), "reason": "it can't be read: No such file or directory"}
    ]
    (source,) = answer["sources"]
    assert (source["lines"], source["bans"], source["exact"], source["unbans"]) == (5, 2, 1, 1)
    assert (source["jails"], source["trouble"]) == ({"sshd": 1, "web": 1}, None)


def test_the_time_zone_of_logs_is_an_option(banledger: Run, log: Path) -> None:
    words = ("import", str(log), "--dry-run", "--json", "--timezone")
    first = [json.loads(banledger(*words, zone)[1])["sources"][0]["first"] for zone in ("UTC", "Asia/Tokyo")]
    assert first[0] - first[1] == 9 * 3600
    code, _, err = banledger(*words, "Mars/Olympus")
    assert code == 3 and err.startswith("error: unknown time zone: Mars/Olympus")


def test_times_that_a_zone_skips_or_repeats_are_reported(banledger: Run, tmp_path: Path) -> None:
    line = "{} fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.1\n"
    (tmp_path / "x").write_text(line.format("2025-03-30 02:30:00,000") + line.format("2025-10-26 02:30:00,000"))
    _, out, _ = banledger("import", str(tmp_path / "x"), "--dry-run", "--timezone", "Europe/Berlin")
    assert "  1 line in an hour that a clock change repeats: its first pass is assumed" in out
    assert "  1 time that a clock change skips: is --timezone right?" in out


def test_an_import_without_a_source_is_an_error(banledger: Run) -> None:
    code, _, err = banledger("import", "--server", "web1")
    assert code == 2 and err.startswith("error: missing argument 'PATH|URL...'")
