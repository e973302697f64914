"""`banledger store` on embedded ledgers."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from banledger.ledger.keys import Keyspace
from banledger.ledger.swap import assign
from banledger.ledger.writer import open_to_write
from banledger.stores.api import Repair
from banledger.stores.change import Score
from banledger.stores.sqlite.engine import open_writer
from banledger.stores.sqlite.reader import open_reader
from tests.contract.conftest import dump
from tests.support.format_1 import write_format_1
from tests.support.lines import ban, nowhere
from tests.unit.cli.conftest import Run
from tests.unit.report.conftest import write

Break = Callable[[], None]


@pytest.fixture
def damage(store: Path) -> Break:
    """Loses an address in the ranking."""

    def lose() -> None:
        with sqlite3.connect(store) as database:
            database.execute("DELETE FROM ranking WHERE member = '192.0.2.1'")
        database.close()

    return lose


def test_check_reports_a_whole_ledger(banledger: Run) -> None:
    assert banledger("store", "check")[:2] == (0, "the ledger is whole\n")
    assert json.loads(banledger("store", "check", "--json")[1]) == {"whole": True, "faults": []}


def test_without_a_terminal_no_progress_is_printed(banledger: Run, tmp_path: Path) -> None:
    for words in (("check",), ("rebuild",), ("copy", str(tmp_path / "ledger.db"), str(tmp_path / "copy.db"))):
        code, _, err = banledger("store", *words)
        assert (code, err) == (0, "")


def test_faults_are_named_and_the_exit_code_is_9(banledger: Run, damage: Break) -> None:
    damage()
    code, out, err = banledger("store", "check")
    assert code == 9
    assert "bans:top:ip " in out
    assert "error: the ledger has " in err and "hint: " in err
    code, out, _ = banledger("store", "check", "--json")
    assert code == 9
    assert "bans:top:ip" in {fault["key"] for fault in json.loads(out)["faults"]}


@pytest.mark.parametrize(
    ("words", "option"),
    [(("check", "--store"), "--store"), (("rebuild", "--store"), "--store"), (("copy",), "FROM")],
    ids=["check", "rebuild", "copy"],
)
def test_without_a_ledger_the_hint_is_to_name_one(
    banledger: Run, tmp_path: Path, words: tuple[str, ...], option: str
) -> None:
    to = [str(tmp_path / "copy.db")] if words == ("copy",) else []
    code, _, err = banledger("store", *words, str(tmp_path / "none.db"), *to)
    assert code == 4
    assert f"error: there is no ledger at {tmp_path / 'none.db'}\n" in err
    assert f"hint: name one {'as' if to else 'with'} {option}" in err and "start" not in err
    assert not (tmp_path / "none.db").exists()


def test_a_rebuild_repairs_faults(banledger: Run, damage: Break) -> None:
    damage()
    code, out, _ = banledger("store", "rebuild")
    assert (code, out) == (0, "rebuilt from 31 bans and 1 gap\n")
    assert banledger("store", "check")[0] == 0


def make_older(store: Path, layout: int) -> None:
    """Give a ledger an older layout, without the keys that it did not have."""
    with closing(open_writer(store)) as engine:
        newer = [key for key in engine.keys("bans:*") if "server+jail" in key or key.endswith((":feed", ":base"))]
        engine.put({key: {} for key in newer})
        if layout == 1:  # one list of active bans, no set of sources
            active = list(engine.keys("bans:active:*"))
            listed = [entry for key in active for entry in engine.ranking(key, 0, 99)]
            engine.mend(Repair(scores=[Score("bans:active", id_, score) for id_, score in listed]))
            engine.put({key: {} for key in [*active, "bans:sources"]})
        assign(engine, "bans:meta", {"layout": str(layout)})


@pytest.mark.parametrize("layout", [1, 2])
def test_a_ledger_of_an_older_layout_is_refused_and_copied_whole(
    banledger: Run, store: Path, tmp_path: Path, layout: int
) -> None:
    before = banledger("report", "--since", "all", "--json")[1]
    make_older(store, layout)
    for words in (("report",), ("record", "--once"), ("store", "check"), ("store", "rebuild")):
        code, _, err = banledger(*words)
        assert code == 4 and f"has layout {layout}" in err and "banledger store copy" in err, words
    copy = str(tmp_path / "copy.db")
    for said in ("32 new, 0 changed, 0 the same", "0 new, 0 changed, 32 the same"):
        code, out, _ = banledger("store", "copy", str(store), copy)
        assert (code, out) == (0, f"copied: {said}\nverified: the copy equals its source\n")
    assert banledger("store", "check", "--store", copy)[:2] == (0, "the ledger is whole\n")
    after = banledger("report", "--since", "all", "--json", "--store", copy)[1]
    assert json.loads(after)["total"] == json.loads(before)["total"] == 31
    with closing(open_to_write(copy, "bans")) as ledger:
        ledger.record([ban("192.0.2.99")], nowhere)
    code, _, err = banledger("store", "copy", copy, str(store))
    assert code == 4 and "the target is not a copy" in err


def test_a_rebuild_counts_bans_with_mended_user_names(banledger: Run, store: Path) -> None:
    stale = "['root', 'pi']"
    ledger = open_to_write(str(store), "bans", "UTC")
    ledger.record([ban("198.51.100.1", restored=1)], nowhere)
    (have,) = ledger.bans(list(ledger.ids("ip", "198.51.100.1")))
    assert have is not None
    ledger._apply([ledger.keys.change(have, replace(have, users=(stale,)))])
    ledger.close()
    code, out, _ = banledger("store", "check")
    assert (code, out.count("\n"), stale in out) == (9, 1, True)
    assert banledger("store", "rebuild")[1] == (
        "rebuilt from 32 bans and 1 gap; user names of 1 restored ban repaired\n"
    )
    assert banledger("store", "check")[0] == 0


def test_a_rebuild_is_refused_while_a_recorder_runs(banledger: Run, store: Path) -> None:
    ledger = open_to_write(str(store), "bans", "UTC")
    code, _, err = banledger("store", "rebuild")
    ledger.close()
    assert code == 6 and "another recorder writes" in err


def test_a_rebuild_creates_no_ledger(banledger: Run, tmp_path: Path) -> None:
    assert banledger("store", "rebuild", "--store", str(tmp_path / "no.db"))[0] == 4
    assert not (tmp_path / "no.db").exists()


def test_a_copy_is_verified_and_can_be_read(banledger: Run, store: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "copy.db")
    code, out, _ = banledger("store", "copy", str(store), target)
    assert (code, out) == (0, "copied: 32 new, 0 changed, 0 the same\nverified: the copy equals its source\n")
    assert banledger("report", "--json", "--store", target)[1] == banledger("report", "--json")[1]


def test_a_ledger_of_file_format_1_is_read_and_copied_and_not_written(
    banledger: Run, store: Path, tmp_path: Path
) -> None:
    with closing(open_reader(store, Keyspace("bans").projection)) as reader:
        old, new = write_format_1(tmp_path / "old.db", reader), tmp_path / "new.db"
    (tmp_path / "spool").mkdir()
    assert banledger("store", "check", "--store", str(old))[:2] == (0, "the ledger is whole\n")
    assert banledger("report", "--json", "--store", str(old))[1] == banledger("report", "--json")[1]
    code, _, err = banledger("record", "--once", "--spool", str(tmp_path / "spool"), "--store", str(old))
    assert code == 4
    assert "made by an older banledger (file format 1)" in err and f"banledger store copy {old} NEW" in err
    assert banledger("store", "copy", str(old), str(new))[:2] == (
        0,
        "copied: 32 new, 0 changed, 0 the same\nverified: the copy equals its source\n",
    )
    projection = Keyspace("bans").projection
    with closing(open_reader(old, projection)) as one, closing(open_reader(new, projection)) as other:
        of_their_own = {"bans:meta": None, "bans:feed": None}  # a copy tells nothing
        assert dump(one) | of_their_own == dump(other) | of_their_own
    banledger("store", "check", "--store", str(new))
    assert banledger("record", "--once", "--spool", str(tmp_path / "spool"), "--store", str(new))[0] == 0


def test_copying_again_copies_new_bans(banledger: Run, store: Path, tmp_path: Path) -> None:
    target = f"sqlite://{tmp_path / 'copy.db'}"
    banledger("store", "copy", str(store), target)
    write(store, [ban("203.0.113.9")])
    assert "1 new, 0 changed, 32 the same" in banledger("store", "copy", str(store), target)[1]


def test_a_copy_into_a_recorders_ledger_is_refused(banledger: Run, store: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.db", [ban()])
    code, _, err = banledger("store", "copy", str(store), str(tmp_path / "other.db"))
    assert code == 4 and "the target is not a copy" in err


def test_a_missing_source_creates_no_target(banledger: Run, tmp_path: Path) -> None:
    assert banledger("store", "copy", str(tmp_path / "no.db"), str(tmp_path / "copy.db"))[0] == 4
    assert not (tmp_path / "copy.db").exists()


def test_a_copy_may_share_the_store_under_another_prefix(banledger: Run, store: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "copy.db")
    assert banledger("store", "copy", str(store), target, "--to-prefix", "other")[0] == 0
    assert banledger("report", "--store", target, "--prefix", "other")[0] == 0
