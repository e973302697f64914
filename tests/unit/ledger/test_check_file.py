"""The check of an embedded ledger finds damage of the file that no key is read from."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from banledger.ledger.check import check
from banledger.ledger.rebuild import rebuild
from banledger.ledger.writer import Ledger
from banledger.stores.sqlite.engine import open_writer
from banledger.stores.sqlite.reader import open_reader
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, nowhere


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger, closed, with addresses that have enough bans for the index of rankings."""
    made = tmp_path / "ledger.db"
    with closing(open_writer(made, KEYS.projection)) as engine:
        bans = [ban(f"192.0.2.{number % 9}", time=T0 + number) for number in range(63)]
        Ledger(engine, KEYS, "UTC").record(bans, nowhere)
    assert faults(made) == []
    return made


def faults(path: Path) -> list[tuple[str, str]]:
    with closing(open_reader(path, KEYS.projection)) as reader:
        return [(fault.key, fault.what) for fault in check(reader, KEYS)]


def page_of(path: Path, table: str) -> tuple[int, int]:
    """Where the first page of a table or index begins, and its size."""
    with closing(sqlite3.connect(path)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (number,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return (number - 1) * size, size


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def test_a_damaged_page_of_an_index_is_found(path: Path) -> None:
    start, size = page_of(path, "ranking_by_score")
    overwrite(path, start, b"\x55" * size)

    assert [key for key, _ in faults(path)] == ["the store"]


def test_an_index_that_differs_from_its_table_is_found_and_made_again(path: Path) -> None:
    start, size = page_of(path, "ranking_by_score")
    page = path.read_bytes()[start : start + size]
    overwrite(path, start + page.index(b"192.0.2.3"), b"192.0.9.9")

    found = faults(path)
    assert {key for key, _ in found} == {"the store"}
    assert "missing from index ranking_by_score" in found[0][1]

    with closing(open_writer(path, KEYS.projection)) as engine:
        rebuild(engine, KEYS, T0)
    assert faults(path) == []
