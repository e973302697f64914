"""Rows of an embedded ledger: recent ones, packs, and the steps between them."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext, suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.ledger.ids import ban_id
from banledger.ledger.projection import COLUMNS, BanProjection
from banledger.stores.packs.pack import DamagedPack
from banledger.stores.selection import Cells, Is, Selection
from banledger.stores.sqlite.compaction import Limits
from banledger.stores.sqlite.file import SCHEMA
from banledger.stores.sqlite.ids import pack_id, unpack_id
from banledger.stores.sqlite.kept import KeptRows
from banledger.stores.sqlite.rows import RowReader, RowWriter
from banledger.stores.sqlite.stored_id import is_text

PROJECTION = BanProjection("bans")
SMALL = Limits(pack=8, recent=16, worth=3, most=40, look=1)

IDS = st.integers(1, 120).map(lambda n: pack_id(ban_id("web1", "sshd", str(n), 1_000_000 + n // 3)))
ROWS = st.tuples(st.sampled_from(["sshd", "web"]), st.sampled_from(["CN", "DE", ""])).map(
    lambda pair: (*pair, *[""] * (len(COLUMNS) - 3), "none")
)
BATCHES = st.lists(st.dictionaries(IDS, st.none() | ROWS, max_size=12), max_size=25)


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(empty()) as made:
        yield made


def empty() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.create_function("is_text", 1, is_text)
    made.executescript(SCHEMA)
    return made


def writer(database: sqlite3.Connection) -> RowWriter:
    made = RowWriter(database, PROJECTION)
    made.limits = SMALL
    return made


def put(rows: RowWriter, batch: Mapping[bytes, Cells | None]) -> None:
    """Write rows, and make packs of them if it is time."""
    rows.put(batch)
    with suppress(DamagedPack):
        if rows.is_due:
            rows.compact()


def write(rows: RowWriter, batches: list[dict[bytes, Cells | None]]) -> dict[bytes, Cells]:
    """Write the batches; return what must be there then."""
    there: dict[bytes, Cells | None] = {}
    for batch in batches:
        put(rows, batch)
        there |= batch
    return {id_: cells for id_, cells in sorted(there.items()) if cells}


def selected(rows: RowReader, selection: Selection) -> KeptRows:
    return KeptRows(rows, selection, nullcontext)


@given(BATCHES)
@settings(max_examples=100)
def test_rows_are_what_was_written_last_whatever_became_packs(batches: list[dict[bytes, Cells | None]]) -> None:
    with closing(empty()) as database:
        rows = writer(database)
        there = write(rows, batches)
        assert dict(rows.all()) == there
        assert [id_ for id_, _ in rows.all()] == list(there)
        wanted = [unpack_id(id_) for id_, cells in sorted(there.items(), reverse=True) if cells[0] == "web"]
        web = Selection(((Is("jail", frozenset(["web"])),),))
        assert list(selected(rows, web).newest()) == wanted
        assert list(selected(rows, web).newest(3)) == wanted[:3]
        assert selected(rows, web).rank({"country": None}).total == len(wanted)
        assert_packs_are_bounded(database)


def assert_packs_are_bounded(database: sqlite3.Connection) -> None:
    packs = database.execute("SELECT rows, low, high FROM pack ORDER BY high").fetchall()
    assert all(1 <= rows <= SMALL.pack and low <= high for rows, low, high in packs)
    assert all(one[2] < two[1] for one, two in pairwise(packs))
    assert database.execute("SELECT count(*) FROM part").fetchone() == (len(packs) * (len(COLUMNS) + 1),)


def test_many_rows_become_packs_and_few_stay(database: sqlite3.Connection) -> None:
    rows = writer(database)
    write(rows, [{pack_id(ban_id("a", "b", str(n), 1000 + n)): row("sshd")} for n in range(200)])
    (recent,) = database.execute("SELECT count(*) FROM recent").fetchone()
    assert SMALL.pack <= recent <= SMALL.recent + SMALL.pack
    assert database.execute("SELECT count(*) FROM pack").fetchone()[0] >= 20


def test_amended_rows_of_all_packs_stay_few(database: sqlite3.Connection) -> None:
    rows = writer(database)
    there = write(rows, [{pack_id(ban_id("a", "b", str(n), 1000 + n)): row("sshd")} for n in range(800)])
    ids = list(there)
    for start in range(40):
        put(rows, dict.fromkeys(ids[start::40], row("web")))
        assert database.execute("SELECT count(*) FROM recent").fetchone()[0] <= SMALL.most
    assert dict(rows.all()) == dict.fromkeys(there, row("web"))


def row(jail: str) -> Cells:
    return (jail, *[""] * (len(COLUMNS) - 1))


def filled(database: sqlite3.Connection) -> tuple[RowWriter, Mapping[bytes, Cells]]:
    rows = writer(database)
    batch = {pack_id(ban_id("a", "b", str(n), 1000 + n)): row("sshd") for n in range(60)}
    return rows, write(rows, [{id_: cells} for id_, cells in batch.items()])


def test_rows_of_two_ledgers_in_one_file_are_apart(database: sqlite3.Connection) -> None:
    rows, there = filled(database)
    other = RowWriter(database, BanProjection("other"))
    other.limits = SMALL
    assert list(other.all()) == []
    put(other, dict.fromkeys(there, row("web")))
    assert dict(rows.all()) == there
    assert {cells[0] for _, cells in other.all()} == {"web"}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE part SET data = x'00'",
        "UPDATE part SET data = zeroblob(100000)",
        "UPDATE part SET data = 'text'",
        "DELETE FROM part",
        "UPDATE pack SET rows = rows + 1",
        "UPDATE pack SET rows = 'many'",
        "UPDATE pack SET high = 'z'",
        "UPDATE pack SET low = x''",
        "UPDATE pack SET high = low",
        "UPDATE pack SET low = x'ff' || substr(low, 2)",
        "UPDATE pack SET number = number + (1 << 60)",
        "UPDATE pack SET number = -number",
    ],
)
def test_a_damaged_pack_is_left_out_and_swept(database: sqlite3.Connection, damage: str) -> None:
    rows, there = filled(database)
    database.execute(damage)
    assert dict(rows.all()).items() <= there.items()
    assert rows.sweep() > 0
    left = dict(rows.all())
    assert left.items() <= there.items() and len(left) < len(there)
    assert rows.sweep() == 0
    put(rows, dict(there))
    assert dict(rows.all()) == there


@pytest.mark.parametrize(
    "values",
    [
        "x'00', 'cells'",
        "7, 'cells'",
        "x'000000010000000000000000', x'00'",
        "x'000000010000000000000000', 'a'",
        "x'00000001ffffffffffffffff', NULL",
        "x'ffffffff0000000000000000', NULL",
        "x'000000010000000000000000', CAST(x'ff' AS TEXT)",
    ],
)
def test_an_invalid_recent_row_is_left_out_and_swept(database: sqlite3.Connection, values: str) -> None:
    rows, there = filled(database)
    database.execute(f"INSERT INTO recent VALUES ('bans', {values})")
    assert dict(rows.all()) == there
    assert rows.sweep() == 1
    assert dict(rows.all()) == there


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE part SET data = x'00'",
        "UPDATE pack SET high = x'00'",
        "UPDATE recent SET cells = CAST(x'ff' AS TEXT)",
        "UPDATE recent SET cells = replace(cells, char(10), char(10) || char(10))",
        "INSERT INTO pack SELECT column1, 'bans', 1, x'00', x'00' FROM (VALUES (1 << 57), (9223372036854775807))",
    ],
)
def test_damage_does_not_stop_the_writer(database: sqlite3.Connection, damage: str) -> None:
    rows, there = filled(database)
    database.execute(damage)
    put(rows, dict.fromkeys(there, row("web")))
    assert {cells[0] for _, cells in rows.all()} == {"web"}
    rows.sweep()
    put(rows, dict.fromkeys(there, row("ssh")))
    assert dict(rows.all()) == dict.fromkeys(there, row("ssh"))
