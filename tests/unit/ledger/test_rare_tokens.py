"""An embedded ledger looks for a rare token only where its tallies name bans."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from banledger.errors import StoreError
from banledger.ledger.opening import open_to_read
from banledger.ledger.projection import COLUMN
from banledger.ledger.writer import open_to_write
from banledger.report.query import question
from banledger.report.summary import top
from banledger.report.walk import walk
from banledger.stores.sqlite.compaction import Limits
from banledger.stores.sqlite.rows import RowWriter
from tests.support.lines import T0, ban, nowhere

DAYS = 12
RARE = 5
"""The day of the only ban with the rare name."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger whose packs of other days have no legible user names."""
    monkeypatch.setattr(RowWriter, "limits", Limits(pack=8, recent=8, worth=4, most=16, look=1))
    made = tmp_path / "ledger.db"
    lines = [
        ban(
            f"192.0.2.{number}",
            time=T0 + day * 86_400 + number,
            users=("rare",) if (day, number) == (RARE, 3) else ("root",),
        )
        for day in range(DAYS)
        for number in range(8)
    ]
    with closing(open_to_write(str(made), "bans", "UTC")) as ledger:
        for day in range(DAYS):
            ledger.record(lines[day * 8 : day * 8 + 8], nowhere)
    place = 1 + list(COLUMN).index("user")
    with closing(sqlite3.connect(made)) as database, database:
        packs = database.execute("SELECT number, low FROM pack").fetchall()
        others = [number for number, low in packs if int.from_bytes(low[:4], "big") // 86_400 != T0 // 86_400 + RARE]
        assert len(packs) - len(others) == 1
        parts = [(number << 6 | place,) for number in others]
        assert database.executemany("UPDATE part SET data = x'' WHERE number = ?", parts).rowcount > 5
    return made


def test_a_rare_name_is_found_without_the_names_of_other_days(path: Path) -> None:
    with closing(open_to_read(str(path), "bans")) as ledger:
        asked = question(user=["rare"])
        assert [found.ip for found in walk(ledger, asked)] == ["192.0.2.3"]
        assert [(row.name, row.bans) for row in top(ledger, "ip", asked).rows] == [("192.0.2.3", 1)]


def test_a_common_name_is_looked_for_everywhere(path: Path) -> None:
    with closing(open_to_read(str(path), "bans")) as ledger, pytest.raises(StoreError):
        list(walk(ledger, question(user=["root"])))
