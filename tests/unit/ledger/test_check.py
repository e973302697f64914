"""The check of a whole ledger finds every kind of damage, done here behind the engine's back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banledger.ledger.check import check
from banledger.ledger.writer import Ledger
from banledger.spool.events import Event
from banledger.stores.sqlite.engine import open_writer
from banledger.stores.sqlite.reader import open_reader
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, gap, nowhere, unban
from tests.support.raw_ledger import open_raw
from tests.support.reference import ReferenceEngine, Store

MONTH = "bans:{2611}:"
LINES: list[Event] = [
    ban("192.0.2.1", users=("root",)),
    ban("192.0.2.1", time=T0 + 5),
    ban("192.0.2.2", jail="web", bantime=-1),
    ban("alice", jail="web"),
    unban("203.0.113.9", seen=T0 + 60),
    gap(),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with a bit of everything, closed. Its sets are stored: no rows are kept."""
    made = tmp_path / "ledger.db"
    ledger = Ledger(open_writer(made), KEYS, "UTC")
    ledger.record(LINES, nowhere)
    ledger.close()
    return made


Damage = Callable[..., None]


@pytest.fixture
def damage(path: Path) -> Iterator[Damage]:
    """Runs a statement on the file; `:key` is the number of the key with the name given. See `open_raw`."""
    database = open_raw(path)

    def run(statement: str, key: str = "", **values: object) -> None:
        row = database.execute("SELECT id FROM key WHERE name = ?", (key,)).fetchone()
        done = database.execute(statement, {"key": row and row[0], **values})
        assert done.rowcount > 0

    yield run
    database.close()


def faults(path: Path) -> dict[str, str]:
    """What the check finds, by key."""
    reader = open_reader(path)
    try:
        return {fault.key: fault.what for fault in check(reader, KEYS)}
    finally:
        reader.close()


def id_of(path: Path, key: str) -> str:
    """The one member of a set."""
    reader = open_reader(path)
    try:
        (member,) = reader.members(key)
    finally:
        reader.close()
    return member


def test_a_whole_ledger_has_no_fault(path: Path) -> None:
    assert faults(path) == {}


@pytest.mark.parametrize("key", ["bans:ip:192.0.2.1", "bans:jail:web", "bans:server:web1", "bans:id:alice"])
def test_a_member_missing_from_a_set_is_found(path: Path, damage: Damage, key: str) -> None:
    damage("DELETE FROM member WHERE key = :key AND member = (SELECT min(member) FROM member WHERE key = :key)", key)
    assert "members" in faults(path)[key]


def test_an_extra_member_of_a_set_is_found(path: Path, damage: Damage) -> None:
    damage("INSERT INTO member VALUES (:key, packed(:id))", "bans:jail:web", id=id_of(path, "bans:user:root"))
    assert "bans:jail:web" in faults(path)


def test_a_set_of_the_right_size_with_another_member_is_found(path: Path, damage: Damage) -> None:
    damage("UPDATE member SET member = packed(:id) WHERE key = :key", "bans:user:root", id=id_of(path, "bans:id:alice"))
    assert "bans:user:root" in faults(path)


def test_an_id_without_a_hash_is_found(path: Path, damage: Damage) -> None:
    damage("INSERT INTO member VALUES (:key, packed('2611230000aaaaaaaaaa'))", "bans:jail:web")
    damage("INSERT INTO member VALUES (:key, packed('2611230000aaaaaaaaaa'))", MONTH + "day:2026-11-23")
    found = faults(path)
    assert found[MONTH + "day:2026-11-23"] == "should not have '2611230000aaaaaaaaaa'"
    assert "bans:jail:web" in found


def test_a_set_without_bans_is_found(path: Path, damage: Damage) -> None:
    damage("INSERT INTO key VALUES (9999, 'bans:country:FR', 'set', 1)")
    damage("INSERT INTO member VALUES (9999, packed('2611230000aaaaaaaaaa'))")
    assert "bans:country:FR" in faults(path)


def test_a_set_with_a_wrong_size_is_found(path: Path, damage: Damage) -> None:
    damage("UPDATE key SET card = card + 1 WHERE id = :key", "bans:jail:sshd")
    assert "bans:jail:sshd" in faults(path)


def test_a_month_that_is_not_listed_is_found(path: Path, damage: Damage) -> None:
    damage("DELETE FROM member WHERE key = :key AND member = '2611'", "bans:months")
    assert "bans:months" in faults(path)


def test_a_missing_hash_is_found_in_every_set_with_its_id(path: Path, damage: Damage) -> None:
    damage("DELETE FROM item WHERE id = packed(:id)", id=id_of(path, "bans:user:root"))
    assert faults(path).keys() >= {
        MONTH + "day:2026-11-23",
        MONTH + "count:2026-11-23:ip",
        "bans:ip:192.0.2.1",
        "bans:jail:sshd",
        "bans:user:root",
        "bans:top:day",
    }


def test_a_hash_that_was_changed_by_hand_is_found(path: Path, damage: Damage) -> None:
    id_ = id_of(path, "bans:id:alice")
    damage(
        "UPDATE item SET fields = row_of(replace(json_of(fields), '\"web\"', '\"ftp\"')) WHERE id = packed(:id)", id=id_
    )
    assert faults(path).keys() >= {f"{MONTH}ban:{id_}", "bans:jail:web", MONTH + "count:2026-11-23:jail"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"time":"1795400000"', '"time":"noon"'),
        ('"hour":"', '"hour":"9'),
        ('"server":"web1"', '"colour":"red"'),
        ('"users":"[\\"root\\"]"', '"users":"[root"'),
        ('"users":"[\\"root\\"]"', '"users":"7"'),
        ('"ip":"192.0.2.1",', ""),
    ],
)
def test_an_invalid_hash_is_found_and_the_check_continues(path: Path, damage: Damage, old: str, new: str) -> None:
    id_ = id_of(path, "bans:user:root")
    row = "row_of(replace(json_of(fields), :old, :new))"
    where = "id = packed(:id) AND instr(json_of(fields), :old)"
    damage(f"UPDATE item SET fields = {row} WHERE {where}", id=id_, old=old, new=new)
    damage("UPDATE tally SET score = 7 WHERE key = :key AND member = 'web'", MONTH + "count:2026-11-23:jail")
    found = faults(path)
    assert found[f"{MONTH}ban:{id_}"].startswith("is damaged: ")
    assert "'web'" in found[MONTH + "count:2026-11-23:jail"]


@pytest.mark.parametrize(
    "dimension", ["ip", "id", "jail", "country", "server", "user", "hour", "jail+country", "server+jail"]
)
@pytest.mark.parametrize("off", [1, -1])
def test_a_tally_off_by_one_is_found(path: Path, damage: Damage, dimension: str, off: int) -> None:
    key = f"{MONTH}count:2026-11-23:{dimension}"
    statement = "UPDATE tally SET score = score + :off WHERE key = :key AND member = "
    damage(statement + "(SELECT max(member) FROM tally WHERE key = :key)", key, off=off)
    (found,) = faults(path).items()
    assert (found[0], "wrong score" in found[1]) == (key, True)


def test_a_tally_without_ban_is_found(path: Path, damage: Damage) -> None:
    damage("INSERT INTO tally VALUES (:key, 'FR', 1)", MONTH + "count:2026-11-23:country")
    damage("DELETE FROM tally WHERE key = :key AND member = 'sshd'", MONTH + "count:2026-11-23:jail")
    assert faults(path) == {
        MONTH + "count:2026-11-23:country": "should not have 'FR'",
        MONTH + "count:2026-11-23:jail": "lacks 'sshd'",
    }


@pytest.mark.parametrize("dimension", ["ip", "id", "jail", "country", "server", "server+jail", "user", "day"])
def test_a_wrong_ranking_is_found(path: Path, damage: Damage, dimension: str) -> None:
    key = f"bans:top:{dimension}"
    damage("UPDATE ranking SET score = score + 1 WHERE key = :key", key)
    assert key in faults(path)


def test_a_missing_or_extra_value_of_a_ranking_is_found(path: Path, damage: Damage) -> None:
    damage("DELETE FROM ranking WHERE key = :key AND member = 'web'", "bans:top:jail")
    damage("INSERT INTO ranking VALUES (:key, 'nobody', 1)", "bans:top:user")
    assert faults(path).keys() == {"bans:top:jail", "bans:top:user"}


def test_a_lifted_ban_among_the_active_ones_or_a_wrong_end_is_found(path: Path, damage: Damage) -> None:
    damage("INSERT INTO mark VALUES (:key, 5, packed('2611230000aaaaaaaaaa'))", "bans:active:web1|sshd")
    damage("UPDATE mark SET score = 7 WHERE key = :key AND score = 9e999", "bans:active:web1|web")
    assert faults(path).keys() == {"bans:active:web1|sshd", "bans:active:web1|web"}


def test_a_source_that_is_not_listed_is_found(path: Path, damage: Damage) -> None:
    damage("DELETE FROM member WHERE key = :key AND member = 'web1|web'", "bans:sources")
    assert "lacks 'web1|web'" in faults(path)["bans:sources"]


def test_a_gap_that_is_not_listed_is_found(path: Path, damage: Damage) -> None:
    damage("DELETE FROM mark WHERE key = :key", "bans:gaps")
    assert "lacks" in faults(path)["bans:gaps"]


def test_an_unlisted_amendment_and_an_invalid_listed_one_are_found(path: Path, damage: Damage) -> None:
    damage("UPDATE mark SET id = packed(:id) WHERE key = :key", MONTH + "pending", id=id_of(path, "bans:id:alice"))
    assert MONTH + "pending" in faults(path)


def test_an_amendment_that_stands_in_a_set_is_found(path: Path, damage: Damage) -> None:
    reader = open_reader(path)
    ((pending, _),) = reader.ranking(MONTH + "pending", 0, 9)
    reader.close()
    damage("INSERT INTO member VALUES (:key, packed(:id))", "bans:jail:sshd", id=pending)
    assert "bans:jail:sshd" in faults(path)


def test_a_ban_whose_change_never_reached_the_sets_elsewhere_is_found() -> None:
    """A crash of an engine that works in steps, before it settled."""
    store = Store()
    engine = ReferenceEngine(store, KEYS.entries_of)
    ledger = Ledger(engine, KEYS, "UTC")
    ledger.record(LINES[:1], nowhere)
    (id_,) = store.sets.pop("bans:ip:192.0.2.1")
    assert "bans:ip:192.0.2.1" in {fault.key for fault in check(engine, KEYS)}
    store.sets["bans:ip:192.0.2.1"] = {id_}
    assert list(check(engine, KEYS)) == []


def test_many_faults_of_one_key_are_one_line(path: Path, damage: Damage) -> None:
    for number in range(9):
        damage("INSERT INTO tally VALUES (:key, :name, 1)", MONTH + "count:2026-11-23:ip", name=f"10.0.0.{number}")
    assert faults(path) == {
        MONTH + "count:2026-11-23:ip": "should not have '10.0.0.0', '10.0.0.1', '10.0.0.2' and 6 more"
    }
