"""Hashes whose keys end in an id, beside keys by name; and files of format 1, which have no such rows."""

from contextlib import closing
from pathlib import Path

import pytest

from banledger.errors import LedgerOlder
from banledger.stores.api import Applied, Conflict, Repair
from banledger.stores.change import Change, Score
from banledger.stores.fields import UNREADABLE
from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from banledger.stores.sqlite.reader import open_reader
from tests.contract.conftest import KEYS, dump
from tests.support.format_1 import write_format_1
from tests.support.lines import T0, ban, gap, unban
from tests.support.raw_ledger import open_raw
from tests.unit.stores.test_sqlite import contents, written

ID = "2611230dnf7gxphpka6m"
KEY = f"bans:{{2611}}:ban:{ID}"
OLD_IDS = ["7001010000" + "0" * 10, "9912310000" + "0" * 10, "0001010000" + "0" * 10, "2611230000" + "0" * 10]


def rows(path: Path, table: str) -> int:
    with closing(open_raw(path)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_hash_whose_key_ends_in_an_id_has_one_row_and_no_name(engine: SqliteEngine, path: Path) -> None:
    assert engine.apply([Change(KEY, None, {"jail": "sshd"})]) == [Applied()]
    assert (rows(path, "item"), rows(path, "key"), rows(path, "hash")) == (1, 0, 0)
    assert engine.hashes([KEY, KEY, "bans:meta"]) == [{"jail": "sshd"}, {"jail": "sshd"}, {}]
    assert engine.kinds([KEY]) == ["hash"]
    assert engine.apply([Change(KEY, {}, None)]) == [Applied()]
    assert (rows(path, "item"), list(engine.keys("*"))) == (0, [])


@pytest.mark.parametrize(
    "pattern",
    ["*", "bans:{2611}:*", "bans:{2611}:ban:*", "bans:{26*", "bans:{2611", "b*:gap:*", "*m", "bans:{261[12]}:*",
     KEY, "bans:{2611}:ban:2611230d??7gxphpka6m", "bans:x*", "x*", "bans:{9999}:*", "other:*", ""],
)  # fmt: skip
def test_keys_of_items_match_patterns_as_names_do(engine: SqliteEngine, path: Path, pattern: str) -> None:
    keys = [
        KEY,
        f"bans:{{2611}}:gap:{ID}",
        f"bans:{{2612}}:ban:2612{ID[4:]}",
        f"bans:{{2612}}:ban:{ID}",
        f"bans:x:{ID}",
        f"other:{{2611}}:ban:{ID}",
        "bans:meta",
    ]
    engine.put({key: {"a": "b"} for key in keys})
    with closing(open_raw(path)) as database:
        wanted = {key for key in keys if database.execute("SELECT ? GLOB ?", (key, pattern)).fetchone()[0]}
    found = list(engine.keys(pattern))
    assert (set(found), len(found)) == (wanted, len(wanted))


def test_more_keys_than_a_page_are_found_once(engine: SqliteEngine) -> None:
    keys = [f"bans:{{2611}}:ban:261123{number:014d}" for number in range(2500)]
    engine.put({key: {"n": key} for key in keys})
    assert sorted(engine.keys("*")) == keys
    assert engine.hashes(keys) == [{"n": key} for key in keys]
    assert list(engine.keys("bans:{2611}:ban:26112300000000002*")) == keys[2000:2500]


def test_a_key_is_never_a_hash_and_a_set_at_once(engine: SqliteEngine, path: Path) -> None:
    engine.apply([Change(KEY, None, {"jail": "sshd"})])
    engine.mend(Repair(joins=[(KEY, "x")]))
    assert (engine.kinds([KEY]), list(engine.members(KEY)), rows(path, "item")) == (["set"], ["x"], 0)
    assert engine.hashes([KEY]) == [{UNREADABLE: "holds no hash"}]
    assert isinstance(engine.apply([Change(KEY, None, {"jail": "sshd"})])[0], Conflict)
    engine.mend(Repair(leaves=[(KEY, "x")]))
    assert engine.apply([Change(KEY, None, {"jail": "web"})]) == [Applied()]
    engine.mend(Repair(joins=[(KEY, "x")]))
    assert (engine.kinds([KEY]), rows(path, "item")) == (["set"], 0)
    engine.put({KEY: {"jail": "ftp"}})
    assert (engine.kinds([KEY]), list(engine.members(KEY)), list(engine.keys("*"))) == (["hash"], [], [KEY])


def test_a_name_that_only_begins_as_an_item_is_a_key_of_its_own(engine: SqliteEngine) -> None:
    odd = "bans:{2611}:ban:" + "x" * 19
    for tail in ("!", "i", "0"):
        engine.put({odd + tail: {"a": tail}})
    assert engine.hashes([odd + "!", KEY, odd + "i", odd + "0"]) == [{"a": "!"}, {}, {"a": "i"}, {"a": "0"}]


def test_a_rolled_back_head_is_forgotten(engine: SqliteEngine) -> None:
    with pytest.raises(ZeroDivisionError), engine._transaction():
        engine._put_hashes([(KEY, {"a": "b"})])
        raise ZeroDivisionError
    engine.put({f"other:{ID}": {"a": "c"}})
    engine.put({KEY: {"a": "b"}})
    assert engine.hashes([KEY, f"other:{ID}"]) == [{"a": "b"}, {"a": "c"}]


def test_equal_scores_are_ranked_by_text_whatever_is_packed(engine: SqliteEngine) -> None:
    members = [*OLD_IDS, "root", "1", "zzz", "2611"]
    engine.mend(Repair(scores=[Score("bans:r", member, 5.0) for member in members] + [Score("bans:r", "top", 9.0)]))
    wanted = [("top", 9.0), *[(member, 5.0) for member in sorted(members, reverse=True)]]
    assert engine.ranking("bans:r", 0, 99) == wanted
    assert [engine.ranking("bans:r", start, 2) for start in range(0, 9, 2)] == [
        wanted[start : start + 2] for start in range(0, 9, 2)
    ]
    assert engine.scores(["bans:r"], [OLD_IDS[0], "x", "root", OLD_IDS[3]]) == [[5.0, None, 5.0, 5.0]]
    assert {member for member, _ in engine.lowest("bans:r", 5.0, 99)} == set(members)


def test_ids_as_text_and_bytes_that_are_no_id_are_hidden_and_swept(engine: SqliteEngine, path: Path) -> None:
    engine.mend(Repair(joins=[("bans:s", ID), ("bans:s", "x")], scores=[Score("bans:r", ID, 1.0)]))
    with engine._transaction():
        keys = dict(engine._db.execute("SELECT name, id FROM key").fetchall())
        for rubbish in (ID, b"x", b"\xff" * 12, b"\0" * 4 + b"\xff" * 8, b"\xba\x37\xe0\0" + b"\0" * 8):
            engine._db.execute("INSERT INTO member VALUES (?, ?)", (keys["bans:s"], rubbish))
            engine._db.execute("INSERT INTO ranking VALUES (?, ?, 1)", (keys["bans:r"], rubbish))
            engine._db.execute("INSERT INTO mark VALUES (?, 1, ?)", (keys["bans:r"], rubbish))
    assert sorted(engine.members("bans:s")) == [ID, "x"]
    assert engine.ranking("bans:r", 0, 9) == [(ID, 1.0)]
    assert engine.lowest("bans:r", 1.0, 9) == [(ID, 1.0)]
    assert engine.scores(["bans:r"], [ID, "x"]) == [[1.0, None]]
    assert engine.sweep() == 15
    assert (rows(path, "member"), rows(path, "ranking"), rows(path, "mark")) == (2, 0, 1)


@pytest.mark.parametrize(
    ("fields", "why"),
    [("x'ff00'", "holds no hash"), ("7", "holds no hash"), ("zeroblob(20000000)", "is too long to be read")],
)
def test_a_damaged_hash_says_why_it_cannot_be_read(engine: SqliteEngine, fields: str, why: str) -> None:
    engine.put({KEY: {"a": "b"}, "bans:meta": {"a": "b"}})
    with engine._transaction():
        engine._db.execute(f"UPDATE item SET fields = {fields}")
        engine._db.execute(f"UPDATE hash SET fields = {fields}")
    assert engine.hashes([KEY, "bans:meta"]) == [{UNREADABLE: why}] * 2


# Files of format 1.


@pytest.fixture
def old(path: Path, tmp_path: Path) -> Path:
    """A file of format 1 with what the ledger at `path` has."""
    written(path, *[ban(f"192.0.2.{n}", time=T0 + n, users=("root",)) for n in range(9)], gap(), unban("203.0.113.9"))
    with closing(open_reader(path, KEYS.projection)) as reader:
        return write_format_1(tmp_path / "old.db", reader)


def test_a_file_of_format_1_is_read(path: Path, old: Path) -> None:
    assert contents(old) == contents(path)
    with closing(open_reader(old, KEYS.projection)) as reader:
        (key,) = [key for key in reader.keys("bans:active:*") if "sshd" in key]
        ids = [id_ for id_, _ in reader.ranking(key, 0, 99)]
        assert len(reader.scores([key], ids)[0]) == len(ids) > 0
        assert reader.sizes([key]) == [len(ids)]
        assert len(dump(reader)) == len(list(reader.keys("*")))


def test_a_file_of_format_1_is_not_written_and_not_changed(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(LedgerOlder, match="format 1") as caught:
        open_writer(old, KEYS.projection)
    assert f"banledger store copy {old} NEW" in caught.value.hint
    assert old.read_bytes() == before
