"""`banledger import` from files, and from a store that is not there; e2e tests have a real one."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import pytest

from banledger.cli.import_ import import_
from banledger.cli.main import commands
from banledger.cli.progress import ProgressBars
from banledger.spool.lock import SpoolLock, is_held
from tests.support.lines import T0
from tests.unit.cli.conftest import Run
from tests.unit.importer.test_database import FOUR, database
from tests.unit.importer.test_survey import LOG


def test_the_help_is_complete(banledger: Run) -> None:
    code, out, err = banledger("import", "--help")
    assert (code, err) == (0, "")
    assert "Example:" in out and "--dry-run" in out
    assert max(map(len, out.splitlines())) <= 80
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
        "  2026-11-23 to 2026-11-23, 5 lines: 2 bans, 1 unban, 1 failure, 1 other",
        "  bans: 1 dated by their last failure, 1 by their own line",
        "  sshd 1, web 1",
        f"refused: {other}: it is not a log or database of fail2ban",
        "2 bans found: 1 with their exact time, 1 dated by their own line",
        "  times in logs are taken as UTC; --timezone names another zone",
    ]


def test_an_import_says_who_records_its_bans_and_what_shows_them(banledger: Run, log: Path, tmp_path: Path) -> None:
    code, out, _ = banledger("import", str(log), "--server", "web 1", "--spool", str(tmp_path))
    assert code == 0
    assert out.splitlines()[-1] == (
        "written to the spool; the recorder adds the new ones: banledger report --since all --server 'web 1'"
    )


@pytest.mark.parametrize("words", [(), ("--json",), ("--dry-run",)])
def test_an_import_without_any_log_is_an_error(banledger: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    sources = ("import", str(tmp_path / "none"), "--server", "web1", "--spool", str(tmp_path), *words)
    code, out, err = banledger(*sources)
    assert code == 1 and "it can't be read: No such file or directory" in out and "written" not in out
    assert err.splitlines()[0] == "error: no log or database of fail2ban to import"


def test_what_a_log_and_a_database_both_tell_is_said_to_count_for_each(banledger: Run, log: Path) -> None:
    database = log.with_name("db")
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES(4);"
            "CREATE TABLE bans(jail TEXT, ip TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data JSON);"
            "INSERT INTO bans VALUES('sshd', '192.0.2.1', 1700000000, 600, 1, '{}');"
        )
    _, out, _ = banledger("import", str(log), str(database), "--dry-run")
    assert out.splitlines()[-1] == "  a ban that logs and a database tell of counts for each here, and is recorded once"


def test_a_dry_run_as_json_has_all_counts(banledger: Run, log: Path, tmp_path: Path) -> None:
    code, out, err = banledger("import", str(log), str(tmp_path / "none"), "--dry-run", "--json", "--timezone", "UTC")
    answer = json.loads(out)

    assert code == 1 and err.splitlines()[0] == "error: 1 path can't be read: see above"
    assert answer["bans"] == 2
    assert answer["refused"] == [
        {"path": str(tmp_path / "none"), "reason": "it can't be read: No such file or directory"}
    ]
    (source,) = answer["sources"]
    assert (source["lines"], source["bans"], source["exact"], source["unbans"]) == (5, 2, 1, 1)
    assert (source["failures"], source["other_lines"], source["left_out"], source["examples"]) == (1, 1, {}, {})
    assert (source["jails"], source["trouble"]) == ({"sshd": 1, "web": 1}, None)


def test_lines_that_are_left_out_are_counted_by_reason_with_an_escaped_example(banledger: Run, log: Path) -> None:
    form = "{} 02:13:20,123 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.1\x1b[31m\n"
    log.write_text(LOG + form.format("2199-11-23") * 2 + form.format("2026-13-23"))
    out = banledger("import", str(log), "--dry-run", "--timezone", "UTC")[1].splitlines()
    assert out[1] == "  2026-11-23 to 2026-11-23, 8 lines: 2 bans, 1 unban, 1 failure, 3 left out, 1 other"
    assert out[4:6] == [
        f"  {count} left out: its time is {what}; the first: {form.format(date)[:-6]}\\x1b[31m"
        for count, what, date in ((2, "out of range", "2199-11-23"), (1, "invalid", "2026-13-23"))
    ]


def test_rows_of_both_tables_of_a_database_add_up(banledger: Run, tmp_path: Path) -> None:
    row = ("192.0.2.1", "sshd", T0, 600, 1, None)
    bans = [("sshd", "192.0.2.1", T0, 600, 1, None), ("sshd", "192.0.2.1", 0, 600, 1, None)]
    path = database(tmp_path / "db", FOUR, *bans, bips=(row,))
    _, out, _ = banledger("import", str(path), "--dry-run")
    assert out.splitlines() == [
        f"{path}: database of fail2ban, schema 4",
        "  2026-11-23 to 2026-11-23, 3 rows: 1 ban, 1 about the same bans, 1 left out",
        "  sshd 2",
        "  1 left out: its time is out of range; the first: sshd, 192.0.2.1, 0",
        "1 ban found: 1 with their exact time, 0 dated by their own line",
    ]


def test_a_directory_of_other_files_is_named_briefly(banledger: Run, log: Path) -> None:
    others = log.with_name("others")
    others.mkdir()
    for number in range(30):
        (others / f"{number:02d}").write_text("x\n" if number % 3 else "")
    words = ("import", str(log), str(others), "--dry-run")
    skipped = [line for line in banledger(*words)[1].splitlines() if line.startswith("skipped")]
    assert len(skipped) == 11 and skipped[0] == f"skipped: {others / '00'}: it is empty"  # the rarer reason
    assert skipped[-1] == "skipped: 20 more files: 20: it is not a log or database of fail2ban (--json names all)"
    answer = json.loads(banledger(*words, "--json")[1])
    assert (len(answer["skipped"]), answer["refused"]) == (30, [])


def test_logs_about_earlier_bans_are_said_to_need_the_earlier_logs(banledger: Run, log: Path) -> None:
    log.write_text("".join(LOG.splitlines(keepends=True)[4:]))
    out = banledger("import", str(log), "--dry-run", "--timezone", "UTC")[1].splitlines()
    assert out[1] == "  2026-11-23 to 2026-11-23, 1 line: 0 bans, 1 about earlier bans"
    assert out[-1].startswith("  earlier bans are in earlier logs: ")


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


def test_an_import_writes_the_bans_of_logs_and_databases_to_the_spool(
    banledger: Run, log: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    rows = database(tmp_path / "db", FOUR, ("sshd", "192.0.2.1", T0 - 1, 600, 2, None))
    code, out, err = banledger(
        "import", str(rows), str(log), "--server", "web1", "--timezone", "UTC", "--spool", str(spool)
    )

    assert (code, err) == (0, "")
    assert "3 bans found: 2 with their exact time, 1 dated by their own line\n" in out
    written = out.splitlines()[-1]
    assert written.startswith("written to the spool; ") and written.endswith(" --server web1")
    *lines, last = [json.loads(line) for path in spool.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert (last["kind"], last["bans"], last["lines"]) == ("import", 3, 6)
    assert sorted((line["jail"], line["time"], line.get("logged")) for line in lines if "logged" in line) == [
        ("sshd", T0 - 1, T0 + 0.123),
        ("web", T0 + 1, T0 + 1.123),
    ]
    (row,) = [line for line in lines if "logged" not in line]
    assert (row["time"], row["bantime"], row["bancount"], row["origin"]) == (T0 - 1, 600, 2, "import")
    assert {line["server"] for line in lines} == {"web1"}


def test_the_service_logs_that_an_import_is_recorded(banledger: Run, log: Path, tmp_path: Path) -> None:
    (spool := tmp_path / "spool").mkdir(mode=0o700)
    banledger("import", str(log), "--server", "web 1", "--spool", str(spool))
    code, out, err = banledger("record", "--once", "--spool", str(spool), "--store", str(tmp_path / "ledger.db"))
    assert code == 0 and out.startswith("2 new bans, ")
    assert (
        err.splitlines()[-1] == "banledger: import of 'web 1' recorded: 5 lines read, 2 bans: 2 new, 0 known, 0 amended"
    )


def test_an_import_of_files_needs_a_label(banledger: Run, log: Path) -> None:
    code, out, err = banledger("import", str(log))
    assert (code, out) == (2, "") and err.startswith("error: missing option '--server'")


def test_a_last_line_that_is_not_complete_is_said_to_be_left_out(banledger: Run, log: Path) -> None:
    log.write_text(LOG + "2026-11-23 02:30:00,000 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.4")
    out = banledger("import", str(log), "--dry-run", "--timezone", "UTC")[1].splitlines()
    assert out[1] == "  2026-11-23 to 2026-11-23, 6 lines: 2 bans, 1 unban, 1 failure, 1 left out, 1 other"
    assert out[4].startswith("  1 left out: its last line is not complete yet; the first: 2026-11-23 02:30:00,000 ")


# With a recorder.


def written(tmp_path: Path, count: int) -> Path:
    """A log of so many bans."""
    path = tmp_path / "bans.log"
    form = "2026-11-23 02:{:02d}:{:02d},500 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.{}\n"
    path.write_text("".join(form.format(n // 60, n % 60, n) for n in range(count)))
    return path


class Place:
    """A spool and a ledger, and the words that name them."""

    def __init__(self, tmp_path: Path, banledger: Run) -> None:
        self.spool = tmp_path / "spool"
        self.spool.mkdir(mode=0o700)
        self.words = ("--spool", str(self.spool), "--store", str(tmp_path / "imported.db"))
        self.banledger = banledger

    def imports(self, path: Path, *words: str) -> tuple[int, str, str]:
        return self.banledger("import", str(path), "--timezone", "UTC", *self.words, *words)

    def records(self) -> str:
        code, out, _ = self.banledger("record", "--once", *self.words)
        assert code == 0
        return out


@pytest.fixture
def place(tmp_path: Path, banledger: Run) -> Place:
    return Place(tmp_path, banledger)


def test_without_a_recorder_an_import_says_how_to_start_one(place: Place, tmp_path: Path) -> None:
    code, out, err = place.imports(written(tmp_path, 20), "--server", "web1")
    assert (code, err) == (0, "")
    assert out.splitlines()[-2] == (
        "no recorder is running, and nothing is lost: start it (systemctl start banledger, or banledger record)"
    )
    assert place.records().startswith("20 new bans")
    assert "no recorder" not in place.imports(written(tmp_path, 20), "--server", "web1", "--no-wait")[1]


def test_a_recorder_that_makes_no_progress_is_not_waited_for(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banledger.cli.waiting.PATIENCE_S", 0.3)
    lock = SpoolLock(place.spool, "a recorder that hangs")
    assert not is_held(place.spool) and lock.hold() and is_held(place.spool)
    code, out, _ = place.imports(written(tmp_path, 20), "--server", "web1")
    lock.release()
    assert code == 0 and "the recorder makes no progress, and nothing is lost" in out


def test_a_ledger_that_cannot_be_read_leaves_the_numbers_to_the_log(place: Place, tmp_path: Path) -> None:
    (tmp_path / "imported.db").write_text("something else")
    lock = SpoolLock(place.spool, "a recorder")
    assert lock.hold()
    code, out, _ = place.imports(written(tmp_path, 20), "--server", "web1")
    lock.release()
    assert code == 0 and "can't read the ledger (" in out and "the recorder's log says what it did" in out


def test_bans_of_another_label_are_not_imported_unasked(place: Place, tmp_path: Path) -> None:
    log = written(tmp_path, 20)
    place.imports(log, "--server", "web1")
    place.records()
    said = "these bans are recorded already as those of server 'web1': as 'web2' they count a second time"
    code, out, err = place.imports(log, "--server", "web2")
    assert (code, out) == (1, "")
    assert err == f"error: {said}\nhint: --server web1 adds only what is new; --yes imports them all the same\n"
    assert place.records().startswith("0 new bans, 0 amended, 0 lines known before")

    code, out, err = place.imports(log, "--server", "web2", "--dry-run")
    assert (code, err) == (0, f"warning: {said}\n") and "20 bans found" in out
    assert json.loads(place.imports(log, "--server", "web2", "--dry-run", "--json")[1])["recorded_as"] == "web1"

    code, _, err = place.imports(log, "--server", "web2", "--yes")
    assert (code, err) == (0, f"warning: {said}\n")
    assert place.records().startswith("20 new bans")
    for label in ("web1", "web2"):  # both have them now
        assert place.imports(log, "--server", label)[0] == 0


def test_other_bans_or_few_of_them_ask_nothing(place: Place, tmp_path: Path) -> None:
    log = written(tmp_path, 20)
    place.imports(log, "--server", "web1")
    place.records()
    lines = log.read_text().splitlines(keepends=True)
    for text in (
        "".join(lines[:2]),
        "".join(lines).replace("[sshd]", "[web]"),
        "".join(lines).replace("02:", "12:"),
        "".join(lines[:2] + [line.replace("192.0.2", "198.51.100") for line in lines[2:]]),
    ):
        log.write_text(text)
        assert place.imports(log, "--server", "web2")[0] == 0


def test_earlier_bans_beside_known_ones_are_found_by_the_last(place: Place, tmp_path: Path) -> None:
    log = written(tmp_path, 200)
    text = log.read_text()
    log.write_text("".join(text.splitlines(keepends=True)[150:]))
    place.imports(log, "--server", "web1")
    place.records()
    log.write_text(text)
    assert place.imports(log, "--server", "webserver1")[0] == 1


def test_a_database_is_recognised_under_another_label(place: Place, tmp_path: Path) -> None:
    rows = [("sshd", f"192.0.2.{n}", T0 + n, 600, 1, None) for n in range(9)]
    path = database(tmp_path / "db", FOUR, *rows)
    place.imports(path, "--server", "web1")
    place.records()
    assert place.imports(path, "--server", "web2")[0] == 1
    assert place.imports(path, "--server", "web1")[0] == 0
