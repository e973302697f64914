import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from banledger import __version__
from banledger.cli import COMMANDS, commands, run
from tests.unit.cli.conftest import Run


def _all_commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        if find_spec(f"banledger.cli.{name}") is None:
            continue
        found.append((name,))
        command = commands.get_command(click.Context(commands), name)
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


@pytest.mark.parametrize("words", _all_commands(), ids=" ".join)
def test_every_command_has_complete_help(banledger: Run, words: tuple[str, ...]) -> None:
    code, out, err = banledger(*words, "--help")

    assert code == 0 and err == ""
    assert "Example:" in out and "--help" in out


@pytest.mark.parametrize("words", _all_commands(), ids=" ".join)
def test_every_option_has_help(words: tuple[str, ...]) -> None:
    command: click.Command = commands
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found

    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


def test_the_groups_help_lists_commands_and_exit_codes(banledger: Run) -> None:
    code, out, _ = banledger()

    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "Exit codes:" in out


def test_report_defaults_to_thirty_days_and_names_all_time(banledger: Run) -> None:
    code, out, err = banledger("report")

    assert (code, err) == (0, "")
    assert ", 30 days (Europe/Berlin)" in out and "31 of all time" in out and "Lost: 3 bans" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "words", [("report",), ("top", "ip"), ("top", "country", "--jail", "sshd"), ("show", "192.0.2.1")]
)
def test_answers_come_as_json_and_csv(banledger: Run, words: tuple[str, ...]) -> None:
    code, out, _ = banledger(*words, "--json")
    assert code == 0 and isinstance(json.loads(out), dict)
    code, out, _ = banledger(*words, "--csv")
    assert code == 0 and out.count("\n") > 1


def test_bans_as_json_are_all_of_them_a_line_each(banledger: Run) -> None:
    _, out, _ = banledger("bans", "--json")

    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 31
    for name in ("id", "server", "jail", "ip", "time", "failures", "bantime", "bancount", "country", "unbanned"):
        assert all(name in line for line in lines)
    assert [line["time"] for line in lines] == sorted((line["time"] for line in lines), reverse=True)


def test_bans_can_be_chosen_and_limited(banledger: Run) -> None:
    _, out, _ = banledger("bans", "--json", "--jail", "nginx", "--user", "root", "--since", "all")
    assert len(out.splitlines()) == 5
    _, out, _ = banledger("bans", "--json", "--country", "private")
    assert [json.loads(line)["ip"] for line in out.splitlines()] == ["10.0.0.1"]
    _, out, _ = banledger("bans", "--json", "--since", "3h", "--ip", "192.0.2.0/24", "--ip", "10.0.0.0/8")
    assert len(out.splitlines()) == 4
    _, out, _ = banledger("bans", "-n", "3")
    assert len(out.splitlines()) == 4


def test_no_control_character_reaches_stdout(banledger: Run) -> None:
    for words in (("report",), ("bans", "--json"), ("bans", "--csv"), ("top", "user"), ("show", "10.0.0.1")):
        _, out, _ = banledger(*words)
        assert "\x1b" not in out and "1b[31m" in out, words


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("top", "colour"), 2, "unknown dimension: colour"),
        (("report", "--since", "soon"), 2, "--since 'soon' is no date"),
        (("bans", "--country", "China"), 2, "'China' is no country"),
        (("bans", "--ip", "\x1b[31m"), 2, "'\\x1b[31m' is no address"),
        (("bans", "--json", "--csv"), 2, "--json and --csv exclude each other"),
        (("nope",), 2, "no such command 'nope'"),
        (("report", "--nope"), 2, "no such option '--nope'"),
        (("top",), 2, "missing argument 'DIMENSION'"),
        (("top", "ip", "-n", "0"), 2, "invalid value for '-n'"),
        (("report", "--prefix", "a b"), 3, "prefix must be"),
        (("report", "--store", "/nonexistent/ledger.db"), 4, "there is no ledger at"),
        (("report", "--prefix", "other"), 4, "there is no ledger with the prefix other"),
    ],
)
def test_errors_are_two_lines_and_a_code(banledger: Run, words: tuple[str, ...], code: int, message: str) -> None:
    got, out, err = banledger(*words)

    first, second = err.splitlines()
    assert (got, out) == (code, "")
    assert first.startswith(f"error: {message}") and second.startswith("hint: ")


def test_a_bug_is_a_traceback(banledger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banledger.report.stats.report", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        banledger("report")


def test_ctrl_c_is_quiet(banledger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("banledger.report.stats.report", interrupted)

    assert banledger("report") == (130, "", "")


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", ["bans --json", "bans", "report", "top ip", "show 192.0.2.1", "kv KEYS *", "--help"])
def test_a_closed_pipe_is_quiet(store: Path, words: str, buffered: bool) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "banledger", *words.split()],
        env=os.environ | {"BANLEDGER_STORE": str(store), "PYTHONUNBUFFERED": "" if buffered else "1"},
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)

    assert (done.returncode, done.stderr) == (141, b"")


def test_action_path_is_the_file_that_fail2ban_loads(banledger: Run) -> None:
    code, out, _ = banledger("action", "path")

    assert code == 0
    assert "fail2ban" in Path(out.strip()).read_text(encoding="utf-8")


def _imported(*arguments: str) -> set[str]:
    script = (
        "import sys; sys.argv = ['banledger', *sys.argv[1:]]\n"
        "from banledger.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_the_version_costs_nothing() -> None:
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()

    assert _imported("--version") - {name.partition(".")[0] for name in bare} <= {"banledger", "__future__"}


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-V"]) == 0
    assert capsys.readouterr().out == f"banledger {__version__}\n"


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (("report", "--json"), {"rich", "iptocc", "csv"}),
        (("report",), {"iptocc"}),
        (("bans", "--json"), {"rich", "iptocc"}),
        (("kv", "PING"), {"rich", "iptocc"}),
        (("--help",), {"rich", "sqlite3", "msgspec", "iptocc"}),
        (("report", "--help"), {"rich", "sqlite3", "msgspec", "iptocc"}),
    ],
)
def test_a_command_imports_what_it_needs(store: Path, words: tuple[str, ...], unwanted: set[str]) -> None:
    place = ("--store", str(store)) if "--help" not in words else ()

    assert not unwanted & _imported(words[0], *place, *words[1:])
