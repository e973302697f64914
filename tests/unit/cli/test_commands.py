import csv
import io
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from banledger import __version__
from banledger.cli.bans import bans
from banledger.cli.main import COMMANDS, commands, run
from banledger.cli.record import record
from banledger.ledger.dimensions import FILTERS
from banledger.report.columns import dimensions
from banledger.settings import TABLE
from tests.support.lines import ban
from tests.unit.cli.conftest import Run
from tests.unit.report.conftest import write


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
def test_help_shows_whole_sentences_and_no_names_of_python_types(banledger: Run, words: tuple[str, ...]) -> None:
    _, out, _ = banledger(*words, "--help")

    assert "INTEGER" not in out
    assert [line for line in out.splitlines()[1:] if line.endswith("...")] == []


@pytest.mark.parametrize("words", _all_commands(), ids=" ".join)
def test_help_fits_a_terminal_of_80_columns(
    banledger: Run, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = banledger(*words, "--help")

    assert [line for line in out.splitlines() if cell_len(line) > 80] == []


@pytest.mark.parametrize("words", _all_commands(), ids=" ".join)
def test_every_option_has_help(words: tuple[str, ...]) -> None:
    command: click.Command = commands
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found

    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


def test_every_filter_is_a_dimension_and_has_a_name_for_its_value_and_a_help() -> None:
    found = [one for one in bans.params if isinstance(one, click.Option) and one.multiple]

    assert [one.name for one in found] == ["jail", "country", "ip", "asn", "server", "user"] == list(FILTERS)
    assert all(one.metavar and one.help for one in found) and {*FILTERS} <= {*dimensions()}


def test_the_flag_of_a_setting_has_the_first_sentence_of_its_description_as_help() -> None:
    described = {setting.name: setting.doc for setting in TABLE}
    helps = {one.name: one.help for one in record.params if isinstance(one, click.Option) and one.name in described}

    assert set(helps) == {"store", "prefix", "spool"}
    assert helps == {name: described[str(name)].partition(". ")[0].rstrip(".") + "." for name in helps}


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


def test_bans_as_json_lists_all_bans_one_per_line(banledger: Run) -> None:
    _, out, _ = banledger("bans", "--json")

    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 31
    for name in ("id", "server", "jail", "ip", "time", "failures", "bantime", "bancount", "country", "unbanned"):
        assert all(name in line for line in lines)
    assert [line["time"] for line in lines] == sorted((line["time"] for line in lines), reverse=True)


def test_bans_can_be_filtered_and_limited(banledger: Run) -> None:
    _, out, _ = banledger("bans", "--json", "--jail", "nginx", "--user", "root", "--since", "all")
    assert len(out.splitlines()) == 5
    _, out, _ = banledger("bans", "--json", "--country", "private")
    assert [json.loads(line)["ip"] for line in out.splitlines()] == ["10.0.0.1"]
    _, out, _ = banledger("bans", "--json", "--since", "3h", "--ip", "192.0.2.0/24", "--ip", "10.0.0.0/8")
    assert len(out.splitlines()) == 4
    _, out, _ = banledger("bans", "-n", "3")
    assert len(out.splitlines()) == 6 and out.endswith("\n\nThe newest 3 bans; -n shows more.\n")
    _, out, _ = banledger("bans", "-n", "31")
    assert len(out.splitlines()) == 32


def test_show_limits_every_format_if_a_number_is_given(banledger: Run) -> None:
    words = ("show", "192.0.2.0/24")
    assert len(json.loads(banledger(*words, "--json")[1])["bans"]) == 30
    found = json.loads(banledger(*words, "--json", "-n", "2")[1])
    assert (found["total"], len(found["bans"])) == (30, 2)
    assert len(banledger(*words, "--csv", "-n", "2")[1].splitlines()) == 3
    assert "The newest 2 of 30 bans" in banledger(*words, "-n", "2")[1]


def test_bans_in_force_are_not_said_about_a_span_that_is_over(banledger: Run) -> None:
    assert " in force now" in banledger("report", "--since", "7d")[1]
    assert " in force now" not in banledger("report", "--since", "7d", "--until", "1h")[1]
    found = json.loads(banledger("report", "--since", "7d", "--until", "1h", "--json")[1])
    assert found["banned_now"] is None


def test_no_control_character_reaches_stdout(banledger: Run) -> None:
    for words in (("report",), ("bans", "--json"), ("bans", "--csv"), ("top", "user"), ("show", "10.0.0.1")):
        _, out, _ = banledger(*words)
        assert "\x1b" not in out and "1b[31m" in out, words


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("top", "colour"), 2, "unknown dimension: colour"),
        (("report", "--since", "soon"), 2, "invalid --since 'soon'"),
        (("bans", "--country", "China"), 2, "invalid country 'China'"),
        (("bans", "--ip", "\x1b[31m"), 2, "invalid address '\\x1b[31m'"),
        (("bans", "--json", "--csv"), 2, "--json and --csv exclude each other"),
        (("nope",), 2, "no such command 'nope'"),
        (("reprot",), 2, "no such command 'reprot'; did you mean 'report'?"),
        (("store", "chek"), 2, "no such command 'chek'; did you mean 'check'?"),
        (("action", "pth"), 2, "no such command 'pth'; did you mean 'path'?"),
        (("report", "--sinc", "7d"), 2, "no such option '--sinc'; did you mean '--since'?"),
        (("top", "ips"), 2, "unknown dimension: ips; did you mean 'ip'?"),
        (("top", "adress"), 2, "unknown dimension: adress; did you mean 'ip'?"),
        (("top", "countries"), 2, "unknown dimension: countries; did you mean 'country'?"),
        (("top", "usernames"), 2, "unknown dimension: usernames; did you mean 'user'?"),
        (("store",), 2, "missing command"),
        (("action",), 2, "missing command"),
        (("report", "--nope"), 2, "no such option '--nope'"),
        (("top",), 2, "missing argument 'DIMENSION'"),
        (("top", "ip", "-n", "0"), 2, "invalid value for '-n'"),
        (("top", "ip", "-n", "many"), 2, "invalid value for '-n': 'many' is not a valid number"),
        (("bans", "-n", "0"), 2, "invalid value for '-n': 0 is not in the range x>=1"),
        (("store", "copy", "x.db", "x.db"), 2, "FROM and TO are the same"),
        (("record", "--once", "--store", "/nonexistent/l.db"), 5, "there is no directory /nonexistent for the ledger"),
        (("store", "copy", "x.db", "/nonexistent/l.db"), 4, "there is no ledger at"),
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


@pytest.mark.parametrize(
    ("flag", "value"),
    [("country", "CN,RU"), ("ip", "192.0.2.1,192.0.2.2"), ("asn", "64496, 64497"), ("jail", "sshd,x")],
)
def test_a_list_as_one_value_is_answered_with_how_to_give_several(banledger: Run, flag: str, value: str) -> None:
    assert f"; for several values repeat --{flag}\n" in banledger("bans", f"--{flag}", value)[2]


def test_only_a_filter_may_be_repeated(banledger: Run) -> None:
    code, _, err = banledger("whois", "192.0.2.1,192.0.2.2")
    assert code == 2 and "invalid address" in err and "repeat" not in err


@pytest.mark.parametrize("words", [("bans",), ("top", "ip"), ("report",), ("bans", "--json"), ("top", "ip", "--csv")])
def test_a_mistyped_jail_or_country_causes_a_warning(banledger: Run, words: tuple[str, ...]) -> None:
    code, _, err = banledger(*words, "--jail", "sshdd", "--country", "UK")
    assert code == 0
    assert err == (
        "warning: no such country 'UK'; did you mean 'GB' (United Kingdom)?\n"
        "warning: no such jail 'sshdd'; did you mean 'sshd'?\n"
    )
    assert banledger(*words, "--jail", "sshd")[2] == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("BANLEDGER_STROE", "there is no such setting; did you mean BANLEDGER_STORE?"),
        ("BANLEDGER_WHOIS_ENABLE", "there is no such setting; did you mean BANLEDGER_WHOIS_ENABLED?"),
        ("BANLEDGER_store", "there is no such setting; did you mean BANLEDGER_STORE?"),
        ("BANLEDGER_QQQ\x1b", "there is no such setting"),
    ],
)
def test_an_unknown_variable_is_named_once(
    banledger: Run, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "x")
    for words in (("report",), ("record", "--once"), ("store", "check"), ("kv", "PING")):
        _, _, err = banledger(*words)
        shown = name.replace("\x1b", "\\x1b")
        assert err.count("warning:") == 1 and err.startswith(f"warning: {shown} is not read: {said}\n")


def test_variables_of_ours_are_not_warned_about(banledger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(setting.variable for setting in TABLE), "BANLEDGER_CONFIG", "BANLEDGER_IMPORT_URL"):
        if name != "BANLEDGER_STORE":
            monkeypatch.setenv(name, "")
    assert "warning" not in banledger("report")[2]


def test_csv_has_true_and_false_as_json_has_them(banledger: Run) -> None:
    _, out, _ = banledger("bans", "--csv")
    _, lines, _ = banledger("bans", "--json")
    states = [json.dumps(json.loads(line)["in_force"]) for line in lines.splitlines()]
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["in_force"] for row in rows] == states and "false" in states


def test_ties_are_in_the_order_of_their_addresses(tmp_path: Path, banledger: Run) -> None:
    addresses = ["9.0.0.1", "10.1.0.1", "100.64.0.1", "192.0.2.2", "192.0.2.10", "2001:db8::1"]
    now = int(time.time())
    write(
        tmp_path / "l.db", [*(ban(one, now - 9) for one in addresses[::-1]), *(ban("8.0.0.9", now - n) for n in (5, 6))]
    )
    for words in (("top", "ip"), ("top", "ip", "--since", "all"), ("top", "ip", "--jail", "sshd"), ("report",)):
        found = json.loads(banledger(*words, "--json", "--store", str(tmp_path / "l.db"))[1])
        rows = found.get("rows") or found["addresses"]
        assert [row["name"] for row in rows] == ["8.0.0.9", *addresses]


def test_the_id_is_shown_at_80_columns(banledger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = banledger("bans", "-n", "9")
    out, _, _ = out.partition("\n\n")
    ids = [json.loads(line)["id"] for line in banledger("bans", "--json", "-n", "9")[1].splitlines()]
    head, *lines = out.splitlines()
    assert head.split() == ["time", "jail", "address", "from", "state", "id"]
    assert [line.split()[-1] for line in lines] == ids and max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("columns", ["40", "1", "0"])
@pytest.mark.parametrize(
    "words", [("report",), ("bans",), ("top", "ip"), ("top", "country"), ("show", "192.0.2.1"), ("show", "10.0.0.1")]
)
def test_a_narrow_terminal_breaks_nothing(
    banledger: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, err = banledger(*words)
    assert (code, err) == (0, "")
    assert max(map(cell_len, out.splitlines())) <= 40


def test_a_bug_is_a_traceback(banledger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banledger.report.summary.report", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        banledger("report")


def test_ctrl_c_is_quiet(banledger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("banledger.report.summary.report", interrupted)

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
    return set(done.stderr.split())


def test_the_version_imports_nothing_else() -> None:
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()

    packages, known = ({name.partition(".")[0] for name in names} for names in (_imported("--version"), bare))
    assert packages - known <= {"banledger", "__future__"}


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-V"]) == 0
    assert capsys.readouterr().out == f"banledger {__version__}\n"


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (("report", "--json"), {"rich", "iptocc", "csv"}),
        (("report",), {"iptocc", "banledger.whois", "banledger.report.formats.listing"}),
        (("bans",), {"iptocc", "banledger.report.formats.table"}),
        (("bans", "--json"), {"rich", "iptocc"}),
        (("kv", "PING"), {"rich", "iptocc"}),
        (("--help",), {"rich", "sqlite3", "msgspec", "iptocc"}),
        (("report", "--help"), {"rich", "sqlite3", "msgspec", "iptocc"}),
    ],
)
def test_a_command_imports_what_it_needs(store: Path, words: tuple[str, ...], unwanted: set[str]) -> None:
    place = ("--store", str(store)) if "--help" not in words else ()

    assert not unwanted & _imported(words[0], *place, *words[1:])
