"""Invalid data in the tables of an embedded ledger, as the command line shows it."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.raw_ledger import open_raw
from tests.support.segments import Writer
from tests.unit.cli.conftest import Run

Write = Callable[..., None]

_KEY = "WHERE key"
_BANS = "WHERE head = (SELECT id FROM head WHERE name GLOB '*:ban:*')"
_AT = "WHERE key = (SELECT id FROM key WHERE name ="
_FIRST = (
    "(key, member) IN (SELECT {table}.key, member FROM {table} JOIN key ON key.id = {table}.key"
    " WHERE name GLOB '{name}' LIMIT 1)"
)

DAMAGE = [
    (f"UPDATE item SET fields = x'ff00' {_BANS}", ":ban:"),
    (f"UPDATE item SET fields = x'' {_BANS}", ":ban:"),
    (f"UPDATE item SET fields = x'01' {_BANS}", ":ban:"),
    (f"UPDATE item SET fields = substr(fields, 1, length(fields) - 2) {_BANS}", ":ban:"),
    (f"UPDATE item SET fields = CAST(fields || x'0000' AS BLOB) {_BANS}", ":ban:"),
    (f"UPDATE item SET fields = 'text' {_BANS}", ":ban:"),
    ("UPDATE item SET fields = 7 WHERE head = (SELECT id FROM head WHERE name GLOB '*:gap:*')", ":gap:"),
    (f"UPDATE item SET fields = zeroblob(20000000) {_BANS} AND id = (SELECT max(id) FROM item {_BANS})", "bans:"),
    (f"UPDATE item SET id = x'00' {_BANS} AND id = (SELECT max(id) FROM item {_BANS})", "bans:"),
    (f"UPDATE member SET member = x'1b5b' {_AT} 'bans:sources') AND member GLOB '*sshd'", "bans:sources"),
    ("UPDATE tally SET score = 'x'", ":count:"),
    ("UPDATE tally SET score = 9e999", ":count:"),
    (f"UPDATE ranking SET score = 'x' {_AT} 'bans:top:day')", "bans:top:day"),
    ("UPDATE ranking SET score = -9e999", "bans:top:"),
    (f"UPDATE ranking SET member = CAST(member AS BLOB) {_AT} 'bans:top:day')", "bans:top:day"),
    (f"UPDATE mark SET id = x'00ff' {_AT} 'bans:gaps')", "bans:gaps"),
    (f"UPDATE mark SET id = 7 {_AT} 'bans:gaps')", "bans:gaps"),
    (f"UPDATE mark SET id = '2611230dnf7gxphpka6m' {_AT} 'bans:gaps')", "bans:gaps"),
    (f"UPDATE mark SET score = 'x' {_AT} 'bans:gaps')", "bans:gaps"),
    (f"UPDATE mark SET score = x'00' {_AT} 'bans:feed')", "bans:feed"),
    ("UPDATE mark SET score = -9e999", "bans:"),
    ("DELETE FROM mark", "bans:"),
    *[
        (f"INSERT INTO mark SELECT key, {score}, id FROM mark {_AT} '{name}')", name)
        for name in ("bans:gaps", "bans:feed")
        for score in ("score - 1", "score + 1", "9e999", "'x'")
    ],
    ("INSERT INTO mark SELECT key, 0.5, id FROM mark", "bans:"),
    ("UPDATE key SET kind = 'odd' WHERE name = 'bans:top:jail'", "bans:top:jail"),
    ("UPDATE key SET card = 'many' WHERE name = 'bans:sources'", "bans:sources"),
    (
        "INSERT INTO key (name, kind, card) SELECT DISTINCT 'bans:{2611}:ban:2611230000aaaaaaaaaa', 'set', 1 FROM key",
        ":ban:",
    ),
    # What no writer puts there, and readers can't tell from other data, or don't see.
    (f"UPDATE member SET member = '' WHERE {_FIRST.format(table='member', name='bans:sources')}", "bans:sources"),
    (f"UPDATE tally SET member = 'a' || char(10) || 'b' WHERE {_FIRST.format(table='tally', name='*:hour')}", ":hour"),
    ("UPDATE key SET id = -1 WHERE name = 'bans:top:country'", "bans:top:country"),
    (f"UPDATE key SET id = {2**63 - 1} WHERE name = 'bans:months'", "bans:months"),
    ("DELETE FROM recent", ":ban:"),
    ("UPDATE recent SET cells = replace(cells, 'sshd', 'web')", ":ban:"),
    ("UPDATE recent SET cells = 7", ":ban:"),
    ("UPDATE recent SET id = substr(id, 2)", ":ban:"),
]
"""A statement that damages a ledger's tables, and the key of a fault that `store check` then names, or a part of it."""

READING = (
    ("report",), ("top", "hour"), ("report", "--since", "all", "--json"), ("top", "jail"), ("top", "ip", "--csv"),
    ("bans",), ("bans", "--json"), ("show", "192.0.2.0/24"), ("show", "192.0.2.1", "--json"), ("whois", "9.9.9.9"),
    ("kv", "--no-raw", "KEYS", "*"), ("store", "check", "--json"), ("record", "--once"),
)  # fmt: skip


@pytest.fixture
def write(store: Path) -> Write:
    """Runs a statement on the ledger's file."""

    def run(statement: str, *values: object) -> None:
        with closing(open_raw(store)) as database:
            assert database.execute(statement, values).rowcount > 0

    return run


@pytest.mark.parametrize(("statement", "named"), DAMAGE)
def test_damaged_data_in_the_tables_is_named_and_mended_and_stops_nothing(
    banledger: Run, write: Write, tmp_path: Path, statement: str, named: str
) -> None:
    (tmp_path / "spool").mkdir()
    write(statement)
    keys = [fault["key"] for fault in json.loads(banledger("store", "check", "--json")[1])["faults"]]
    assert any(named in key for key in keys), keys
    for arguments in READING:
        more = ("--spool", str(tmp_path / "spool")) if arguments[0] in ("record", "whois") else ()
        _, out, err = banledger(*arguments, *more)
        assert (out + err).replace("\n", "").isprintable()
        assert "Traceback" not in err
    banledger("store", "rebuild")
    assert banledger("store", "check")[:2] == (0, "the ledger is whole\n")


@pytest.mark.parametrize(("statement", "named"), DAMAGE)
def test_new_bans_are_recorded_into_damaged_tables(
    banledger: Run, write: Write, tmp_path: Path, statement: str, named: str
) -> None:
    (tmp_path / "spool").mkdir()
    writer = Writer(tmp_path / "spool")
    writer.write("203.0.113.7", "203.0.113.8")
    writer.close()
    write(statement)
    code, out, err = banledger("record", "--once", "--spool", str(tmp_path / "spool"))
    assert (code, out[:10]) == (0, "2 new bans"), err
    banledger("store", "rebuild")
    assert banledger("store", "check")[:2] == (0, "the ledger is whole\n"), named


def test_a_command_warns_in_one_line_about_data_left_out(banledger: Run, write: Write) -> None:
    write(
        "UPDATE item SET fields = row_of('{\"x\":\"1\"}') WHERE head = (SELECT id FROM head WHERE name GLOB '*:gap:*')"
    )
    code, _, err = banledger("report")
    assert code == 0
    (line,) = err.splitlines()
    assert line.startswith("warning: left out: bans:{") and "store check names all" in line


def test_a_huge_value_is_left_out_of_a_table_and_a_long_one_is_cut(banledger: Run, write: Write) -> None:
    row = "row_of(replace(json_of(fields), '\"jail\"', ?))"
    write(f"UPDATE item SET fields = {row} {_BANS}",
          f'"matches":{json.dumps(json.dumps(["x" * 1_000_000]))},"jail"')  # fmt: skip
    code, out, err = banledger("show", "192.0.2.1", "-n", "3")
    assert code == 0 and len(out) < 100_000 and "more characters" in out, out + err
    write(f"UPDATE item SET fields = {row} {_BANS}",
          f'"ended_because":"{"x" * 10_000_000}","jail"')  # fmt: skip
    code, out, err = banledger("show", "192.0.2.1")
    assert code == 0 and len(out) < 1000 and "warning: left out" in err
