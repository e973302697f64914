"""fail2ban's databases of all schemas, and what others put into one."""

import json
import sqlite3
from pathlib import Path

import pytest

from banledger.importer.database import DatabaseRow, Invalid, opened, rows, schema, tickets
from banledger.importer.past_lines import line_of_ban
from banledger.importer.refusal import SourceRefused
from banledger.spool.events import BanLine, decode
from tests.support.lines import T0

NOW = T0 + 86_400.0
DATA = json.dumps(
    {"matches": ["a", ["b", "Nov 23", "c"], "", 7], "failures": 5, "users": ["root", "\udc80", 1], "user": "x"}
)
FOUR = """
CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES (4);
CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
    bancount INTEGER NOT NULL default 1, data JSON);
CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
    bancount INTEGER NOT NULL default 1, data JSON, PRIMARY KEY(ip, jail));
"""
TWO = """
CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES (2);
CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON);
"""


def database(path: Path, script: str, *bans: tuple[object, ...], bips: tuple[tuple[object, ...], ...] = ()) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    for ban in bans:
        connection.execute(f"INSERT INTO bans VALUES ({','.join('?' * len(ban))})", ban)
    if bips:
        connection.executemany("INSERT INTO bips VALUES (?, ?, ?, ?, ?, ?)", bips)
    connection.commit()
    connection.close()
    return path


def read(path: Path) -> tuple[int, list[DatabaseRow | Invalid]]:
    with opened(str(path)) as connection:
        return schema(connection), list(rows(connection, NOW))


def test_schema_4_has_all_of_a_ban(tmp_path: Path) -> None:
    path = database(
        tmp_path / "x",
        FOUR,
        ("sshd", "192.0.2.1", T0, 600, 2, DATA),
        bips=(("2001:db8::1", "a-b", T0, -1, 3, None),),
    )
    assert read(path) == (
        4,
        [
            DatabaseRow(T0, "sshd", "192.0.2.1", 600, 2, 5, ("root", "\\udc80"), ("a", "bNov 23c")),
            DatabaseRow(T0, "a-b", "2001:db8::1", -1, 3),
        ],
    )


def test_schema_2_has_no_bantime(tmp_path: Path) -> None:
    path = database(tmp_path / "x", TWO, ("sshd", "192.0.2.1", T0, '{"failures": 3, "user": "pi"}'))
    assert read(path) == (2, [DatabaseRow(T0, "sshd", "192.0.2.1", 0, 0, 3, ("pi",))])


@pytest.mark.parametrize("failures", ["true", "false", "1e400", "9007199254740993", "-1", '"3"', "NaN"])
def test_a_number_of_failures_that_is_none_is_unknown(tmp_path: Path, failures: str) -> None:
    path = database(tmp_path / "x", FOUR, ("sshd", "192.0.2.1", T0, 600, 2, f'{{"failures": {failures}}}'))
    (row,) = read(path)[1]
    assert isinstance(row, DatabaseRow)
    line = json.dumps(line_of_ban(row, "web1") | {"seq": 1}).encode()
    assert decode(line) == BanLine(
        v=1,
        seen=T0,
        seq=1,
        server="web1",
        jail="sshd",
        fid="192.0.2.1",
        time=T0,
        bantime=600,
        bancount=2,
        origin="import",
    )


def test_a_bantime_that_an_upgrade_put_there_is_unknown(tmp_path: Path) -> None:
    path = database(tmp_path / "x", FOUR, ("sshd", "192.0.2.1", T0, -2, 1, None))
    assert read(path)[1] == [DatabaseRow(T0, "sshd", "192.0.2.1", 0, 1)]


@pytest.mark.parametrize(
    ("ban", "left_out"),
    [
        (("sshd", None, T0, 600, 1, None), Invalid("its banned value is missing", f"sshd, None, {T0}")),
        (("", "x", T0, 600, 1, None), Invalid("its jail is missing", f", x, {T0}")),
        (("x" * 5000, "x", T0, 600, 1, None), Invalid("its jail is too long", f"{'x' * 60}, x, {T0}")),
        (("sshd", "x", "soon", 600, 1, None), Invalid("its time is out of range", "sshd, x, soon")),
        (("sshd", b"\xff", -1, 600, 1, None), Invalid("its time is out of range", "sshd, \\udcff, -1")),
        (("sshd", "x", T0 * 2, 600, 1, None), Invalid("its time is out of range", f"sshd, x, {T0 * 2}")),
    ],
)
def test_a_row_that_is_no_ban_is_left_out_with_the_reason(
    tmp_path: Path, ban: tuple[object, ...], left_out: Invalid
) -> None:
    path = database(tmp_path / "x", FOUR, ban, ("sshd", "192.0.2.1", T0, 600, 1, None))
    assert read(path)[1] == [left_out, DatabaseRow(T0, "sshd", "192.0.2.1", 600, 1)]
    with opened(str(path)) as connection:
        assert tickets(connection, T0 + 86_400) == 1


def test_bans_in_both_tables_are_counted_once(tmp_path: Path) -> None:
    first, second = ("sshd", "192.0.2.1", T0, 600, 1, None), ("sshd", "192.0.2.1", T0 + 5, 600, 2, None)
    path = database(tmp_path / "x", FOUR, first, second, bips=(("192.0.2.1", "sshd", T0 + 5, 600, 2, None),))
    assert len(read(path)[1]) == 3
    with opened(str(path)) as connection:
        assert tickets(connection, T0 + 86_400) == 2


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "[" * 50_000,
        "[1]",
        b"\x80\x04cposix\nsystem\n",
        7,
        '{"failures": -1, "matches": {}, "users": 1e999}',
        "x" * (2 << 20),
    ],
    ids=range(7),
)
def test_odd_data_counts_as_none(tmp_path: Path, data: object) -> None:
    path = database(tmp_path / "x", FOUR, ("sshd", "192.0.2.1", T0, 600, 1, data))
    assert read(path)[1] == [DatabaseRow(T0, "sshd", "192.0.2.1", 600, 1)]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE x(y);",
        "CREATE TABLE fail2banDb(version INTEGER); CREATE TABLE bans(jail TEXT);",
        "CREATE TABLE fail2banDb(version INTEGER); CREATE VIEW bans AS SELECT 1 jail, 2 ip, 3 timeofban, 4 data;",
    ],
)
def test_other_databases_are_refused(tmp_path: Path, script: str) -> None:
    with pytest.raises(SourceRefused, match="not fail2ban's"):
        read(database(tmp_path / "x", script))


def test_a_damaged_database_gives_what_can_be_read(tmp_path: Path) -> None:
    bans = [("sshd", f"192.0.2.{n}", T0, 600, 1, "x" * 500) for n in range(100)]
    path = database(tmp_path / "x", FOUR, *bans)
    raw = bytearray(path.read_bytes())
    raw[-8192:] = b"\xff" * 8192
    path.write_bytes(raw)
    got: list[DatabaseRow | Invalid] = []
    with pytest.raises(SourceRefused, match="can't be read further"), opened(str(path)) as connection:
        for row in rows(connection, NOW):
            got.append(row)
    assert got


def test_a_database_in_wal_mode_is_read_with_its_wal_and_left_as_it_is(tmp_path: Path) -> None:
    path = database(tmp_path / "x", FOUR)
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO bans VALUES ('sshd', '192.0.2.1', ?, 600, 1, NULL)", (T0,))
    writer.commit()
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert sorted(before) == ["x", "x-shm", "x-wal"]

    assert len(read(path)[1]) == 1
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
    writer.close()


def test_a_database_that_fail2ban_writes_to_is_read(tmp_path: Path) -> None:
    path = database(tmp_path / "x", FOUR, ("sshd", "192.0.2.1", T0, 600, 1, None))
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = MEMORY")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO bans VALUES ('sshd', '192.0.2.2', 1, 600, 1, NULL)")
    assert len(read(path)[1]) == 1
    writer.close()
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_a_row_of_the_second_table_says_whether_the_first_told_of_its_ticket(tmp_path: Path) -> None:
    both, later = ("192.0.2.1", "sshd", T0, 600, 1, None), ("192.0.2.2", "sshd", T0, 600, 1, None)
    path = database(tmp_path / "db", FOUR, ("sshd", "192.0.2.1", T0, 600, 1, None), bips=(both, later))
    with opened(str(path)) as connection:
        found = [row for row in rows(connection, T0 + 9.0) if isinstance(row, DatabaseRow)]
    assert [(row.fid, row.again) for row in found] == [
        ("192.0.2.1", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
    ]
