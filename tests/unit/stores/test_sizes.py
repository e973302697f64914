"""Sizes of sorted sets that an embedded ledger knows without counting: never wrong, whatever was written."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from banledger.ledger.ban import Ban
from banledger.ledger.check import check
from banledger.ledger.forget_change import forgetting
from banledger.ledger.found import read_bans
from banledger.ledger.rebuild import rebuild
from banledger.ledger.writer import Ledger
from banledger.stores.api import Repair
from banledger.stores.change import Score
from banledger.stores.sqlite.compaction import Limits
from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from banledger.stores.sqlite.rows import RowWriter
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, nowhere, unban

LINES = [
    ban(
        f"192.0.2.{number * 7 % 20}",
        time=T0 + number * 3000,
        users=("root", f"user{number % 9}", "2611230213abcdefghij"),
    )
    for number in range(90)
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(RowWriter, "limits", Limits(pack=8, recent=16, worth=4, most=32, look=1))
    return tmp_path / "ledger.db"


def written(path: Path) -> SqliteEngine:
    engine = open_writer(path, KEYS.projection)
    ledger = Ledger(engine, KEYS, "UTC")
    for place in range(0, len(LINES), 6):
        ledger.record(LINES[place : place + 6], nowhere)
    return engine


def known(path: Path) -> dict[str, int]:
    """The sizes that are known, all of which must be right."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT name, card, (SELECT count(*) FROM tally WHERE tally.key = key.id)"
            " + (SELECT count(*) FROM ranking WHERE ranking.key = key.id)"
            " + (SELECT count(*) FROM mark WHERE mark.key = key.id)"
            " FROM key WHERE kind IN ('tally', 'ranking') AND card <> 0"
        ).fetchall()
    assert [row for row in rows if row[1] != row[2]] == []
    return {name: card for name, card, _ in rows}


def test_sizes_are_known_and_follow_bans_that_come_and_are_forgotten(path: Path) -> None:
    with closing(written(path)) as engine:
        assert known(path)[KEYS.top("ip")] == 20
        assert len(known(path)) > 20

        ids = list(engine.members(KEYS.members("ip", "192.0.2.7")))
        engine.apply([forgetting(KEYS, one, T0) for one in read_bans(engine, KEYS, ids) if isinstance(one, Ban)])
        assert known(path)[KEYS.top("ip")] == 19

        Ledger(engine, KEYS, "UTC").record([unban("192.0.2.0", time=T0), ban("192.0.2.99", time=T0)], nowhere)
        assert known(path)[KEYS.top("ip")] == 20
        assert engine.sizes([KEYS.top("ip"), KEYS.top("user")]) == [20, len(dict(engine.entries(KEYS.top("user"))))]


def test_what_is_written_in_another_way_is_counted_again(path: Path) -> None:
    with closing(written(path)) as engine:
        before = known(path)
        tally = next(name for name in before if name.endswith(":ip") and ":count:" in name)

        engine.mend(
            Repair(tallies=[Score(tally, "192.0.2.200", 3.0)], scores=[Score(KEYS.top("ip"), "192.0.2.7", None)])
        )

        left = known(path)
        assert {tally, KEYS.top("ip")} <= before.keys() - left.keys()
        assert engine.sizes([tally, KEYS.top("ip")]) == [before[tally] + 1, 19]


def test_a_wrong_size_is_a_fault_that_a_rebuild_mends(path: Path) -> None:
    written(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE key SET card = 7 WHERE name = ?", (KEYS.top("ip"),))

    with closing(open_writer(path, KEYS.projection)) as engine:
        assert [fault.key for fault in check(engine, KEYS)] == [KEYS.top("ip")]
        rebuild(engine, KEYS, T0)
        assert list(check(engine, KEYS)) == []
