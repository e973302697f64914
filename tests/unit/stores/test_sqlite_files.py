"""The embedded ledger's files, when another program deletes, replaces, cuts or overwrites them."""

import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from banledger.errors import LedgerChanged, NotALedger, StoreError
from banledger.ledger.writer import Ledger, open_to_write
from banledger.service.recorder import Recorder
from banledger.spool.reader import SpoolReader
from banledger.stores.sqlite.held import FileState, judge
from tests.support.lines import ban, nowhere
from tests.support.segments import NOW, Writer
from tests.unit.stores.test_sqlite import _assert_whole, bans_in, contents, written

FIRST = [ban(f"192.0.2.{n}") for n in range(50)]
LATER = [ban(f"198.51.100.{n}") for n in range(30)]
LAST = [ban(f"203.0.113.{n}") for n in range(20)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of 50 bans, closed."""
    return written(tmp_path / "ledger.db", *FIRST)


@pytest.fixture(autouse=True)
def journal(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is said."""
    caplog.set_level(logging.INFO, logger="banledger")
    return caplog


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def opened(path: Path) -> Ledger:
    return open_to_write(str(path), "bans", "UTC")


@contextmanager
def recording(path: Path) -> Iterator[Ledger]:
    """A ledger with 30 bans more, which are in its -wal alone."""
    ledger = opened(path)
    ledger.record(LATER, nowhere)
    assert beside(path, "-wal").stat().st_size > 0
    try:
        yield ledger
    finally:
        ledger.close()


def notices(ledger: Ledger, words: str) -> None:
    """The next batch is refused, with these words and as something to try again."""
    with pytest.raises(LedgerChanged, match=words) as caught:
        ledger.record(LAST, nowhere)
    assert caught.value.retryable
    assert caught.value.hint


def goes_on(path: Path, bans: int) -> None:
    """The ledger can be opened, has so many bans, records the last ones, and is whole."""
    assert bans_in(path) == bans
    with closing(opened(path)) as ledger:
        assert ledger.record(LAST, nowhere).new == len(LAST)
    assert bans_in(path) == bans + len(LAST)
    _assert_whole(path)


# -wal


def test_a_deleted_wal_loses_nothing(path: Path) -> None:
    with recording(path) as ledger:
        beside(path, "-wal").unlink()
        notices(ledger, "ledger.db-wal was moved or deleted")
    goes_on(path, 80)


def test_a_deleted_wal_beside_a_reader_in_a_transaction_loses_nothing(path: Path) -> None:
    ledger = opened(path)
    with reader(path, "BEGIN", "SELECT count(*) FROM key"):
        ledger.record(LATER, nowhere)
        beside(path, "-wal").unlink()
        notices(ledger, "ledger.db-wal was moved or deleted")
        ledger.close()
        goes_on(path, 80)
    _assert_whole(path)


def test_a_wal_deleted_before_the_stop_loses_nothing(path: Path) -> None:
    with recording(path):
        beside(path, "-wal").unlink()
    assert beside(path, "-wal").stat().st_size == 0  # for readers that may not make it
    goes_on(path, 80)


def test_a_batch_during_the_deletion_of_the_wal_is_not_confirmed(path: Path) -> None:
    with recording(path) as ledger:
        engine = ledger._engine
        with pytest.raises(LedgerChanged), engine._transaction():  # type: ignore[attr-defined]
            beside(path, "-wal").unlink()
    goes_on(path, 80)


def test_reading_notices_a_change_while_the_recorder_is_idle(path: Path) -> None:
    with recording(path) as ledger:
        assert not ledger.lost()
        beside(path, "-wal").unlink()
        with pytest.raises(LedgerChanged):
            ledger.lost()


@pytest.mark.parametrize("kind", ["garbage", "older"])
def test_another_file_in_place_of_the_wal_is_set_aside(path: Path, tmp_path: Path, kind: str) -> None:
    wal = beside(path, "-wal")
    with closing(opened(path)) as ledger:
        ledger.record([ban("203.0.113.99")], nowhere)
        shutil.copy(wal, tmp_path / "older")
    (tmp_path / "garbage").write_bytes(random.Random(1).randbytes(50_000))
    with recording(path) as ledger:
        (tmp_path / kind).rename(wal)
        notices(ledger, "another file took the place of .*ledger.db-wal")
    assert beside(path, "-wal.old").stat().st_size > 0
    goes_on(path, 81)


def _garbage(wal: Path) -> None:
    _overwrite(wal, random.Random(2).randbytes(wal.stat().st_size))


def _garbage_at_the_beginning(wal: Path) -> None:
    with wal.open("r+b") as file:
        file.write(b"\xff" * 40)


def _grown(wal: Path) -> None:
    with wal.open("ab") as file:
        file.write(random.Random(3).randbytes(9000))


def _cut_short(wal: Path) -> None:
    os.truncate(wal, wal.stat().st_size // 2)


def _emptied(wal: Path) -> None:
    os.truncate(wal, 0)


def _overwrite(path: Path, content: bytes) -> None:
    """Into the file that is there, as `cp` does."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


damages = pytest.mark.parametrize(
    "damage", [_garbage, _garbage_at_the_beginning, _grown, _cut_short, _emptied], ids=lambda damage: damage.__name__
)

_READ = """
import sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
for statement in sys.argv[2:]:
    database.execute(statement).fetchone()
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def reader(path: Path, *statements: str) -> Iterator[None]:
    """Another process that has the ledger open."""
    process = subprocess.Popen(
        [sys.executable, "-c", _READ, str(path), "SELECT count(*) FROM key", *statements],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    try:
        yield
    finally:
        process.communicate()


@damages
@pytest.mark.parametrize("read", [False, True], ids=["alone", "beside a reader"])
def test_an_overwritten_wal_does_not_damage_the_database(
    path: Path, damage: Callable[[Path], None], read: bool
) -> None:
    with recording(path) as ledger, reader(path) if read else nullcontext():
        damage(beside(path, "-wal"))
        notices(ledger, "another program wrote to .*ledger.db-wal, or truncated it")
        ledger.close()
        there = bans_in(path)
        assert 50 <= there <= 80
        goes_on(path, there)


@damages
def test_an_overwritten_wal_raises_only_store_errors_for_a_reader(path: Path, damage: Callable[[Path], None]) -> None:
    with recording(path):
        damage(beside(path, "-wal"))
        try:
            contents(path)
        except StoreError as error:
            assert str(path) in str(error)


def test_a_deleted_index_is_recreated(path: Path) -> None:
    with recording(path) as ledger:
        beside(path, "-shm").unlink()
        notices(ledger, "ledger.db-shm was moved or deleted")
    goes_on(path, 80)


# The database


@pytest.fixture
def backup(path: Path, tmp_path: Path) -> Path:
    """A copy of the ledger as it was with 50 bans."""
    return Path(shutil.copy(path, tmp_path / "backup"))


def test_a_backup_moved_over_the_ledger_is_not_mixed_with_the_wal_of_the_other(path: Path, backup: Path) -> None:
    before = contents(path)
    with recording(path) as ledger:
        backup.rename(path)
        notices(ledger, "another file took the place of .*ledger.db")
    assert contents(path) == before
    goes_on(path, 50)


def test_a_ledger_that_is_moved_away_keeps_all_its_bans(path: Path, tmp_path: Path) -> None:
    with recording(path) as ledger:
        path.rename(tmp_path / "away.db")
        notices(ledger, "ledger.db was moved or deleted")
    assert bans_in(Path(shutil.copy(tmp_path / "away.db", tmp_path / "alone.db"))) == 80
    _assert_whole(tmp_path / "away.db")


def test_a_backup_copied_into_the_ledger_is_not_mixed_with_the_wal_of_the_other(path: Path, backup: Path) -> None:
    with closing(opened(path)) as ledger:
        ledger.record([ban(f"192.0.2.{n}") for n in range(100, 250)], nowhere)
    assert path.stat().st_size > backup.stat().st_size
    before = contents(backup)
    with recording(path) as ledger:
        _overwrite(path, backup.read_bytes())
        notices(ledger, "another program wrote to .*ledger.db, or truncated it")
    assert beside(path, "-wal.old").exists()
    assert contents(path) == before
    goes_on(path, 50)


def test_a_stopped_copy_with_its_wal_may_be_put_in_place_while_it_runs(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with recording(path) as ledger:
        for end in ("", "-wal"):  # as a crash would leave it
            shutil.copy(beside(path, end), tmp_path / "copy")
        for end in ("", "-wal"):
            (tmp_path / "copy" / f"ledger.db{end}").rename(beside(path, end))
        notices(ledger, "another file took the place of .*ledger.db")
    goes_on(path, 80)


def test_a_truncated_ledger_with_a_wal_is_reported_as_damaged(path: Path) -> None:
    with closing(opened(path)) as ledger:
        ledger.record([ban(f"10.0.{n >> 8}.{n & 255}") for n in range(3000)], nowhere)
    with recording(path) as ledger:
        os.truncate(path, path.stat().st_size // 2)
        notices(ledger, "another program wrote to .*ledger.db, or truncated it")
    with pytest.raises(NotALedger, match="damaged"):
        opened(path)


def test_a_truncated_crashed_ledger_with_a_wal_is_reported_as_damaged(path: Path, tmp_path: Path) -> None:
    with closing(opened(path)) as ledger:
        ledger.record([ban(f"10.0.{n >> 8}.{n & 255}") for n in range(3000)], nowhere)
    (tmp_path / "crashed").mkdir()
    with recording(path):
        for end in ("", "-wal"):
            shutil.copy(beside(path, end), tmp_path / "crashed")
    os.truncate(tmp_path / "crashed" / "ledger.db", path.stat().st_size // 2)
    with pytest.raises(NotALedger, match="a part of it is missing"):
        opened(tmp_path / "crashed" / "ledger.db")


def test_an_emptied_ledger_is_created_again_with_a_warning(path: Path, journal: pytest.LogCaptureFixture) -> None:
    with recording(path) as ledger:
        os.truncate(path, 0)
        notices(ledger, "another program wrote to .*ledger.db, or truncated it")
    with closing(opened(path)) as ledger:
        assert ledger.record(LAST, nowhere).new == len(LAST)
    assert f"created ledger {path}; there may have been one before: the file was empty" in journal.text


# What another program may do


@pytest.mark.parametrize("statement", ["PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)"])
def test_a_checkpoint_of_another_program_loses_nothing(path: Path, statement: str) -> None:
    with recording(path) as ledger:
        ledger.record([ban(f"10.0.{n >> 8}.{n & 255}") for n in range(600)], nowhere)
        program = f"import sqlite3; sqlite3.connect({str(path)!r}).execute({statement!r}).fetchall()"
        subprocess.run([sys.executable, "-c", program], check=True)
        try:
            ledger.record(LATER, nowhere)
        except LedgerChanged:
            ledger.close()
    assert not beside(path, "-wal.old").exists()
    goes_on(path, 680)


def test_readers_and_backups_cause_no_reopening(path: Path, tmp_path: Path) -> None:
    with recording(path) as ledger:
        for number in range(60):
            ledger.record([ban(f"10.1.{number}.{n}") for n in range(20)], nowhere)
            if not number % 20:
                with reader(path):
                    contents(path)
                subprocess.run(
                    [sys.executable, "-c", f"import sqlite3; sqlite3.connect('file:{path}?mode=ro', uri=True)"
                     f".backup(sqlite3.connect('{tmp_path}/backup{number}.db'))"],
                    check=True,
                )  # fmt: skip
    goes_on(path, 1280)


# The recorder


def test_the_recorder_reopens_the_ledger_and_logs_one_line_per_change(path: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    writer = Writer(spool)
    recorder = Recorder(SpoolReader(spool), lambda: opened(path), nowhere)
    for number, end in enumerate(("-wal", "-shm", "-wal")):
        writer.write(f"10.2.0.{2 * number}")
        assert recorder.step(NOW).new == 1
        beside(path, end).unlink()
        writer.write(f"10.2.0.{2 * number + 1}")
        with pytest.raises(LedgerChanged):
            recorder.step(NOW)
        assert recorder.step(NOW).new == 1
    recorder.close()
    writer.close()
    goes_on(path, 56)


# A ledger is made


def test_a_new_ledger_logs_one_line(tmp_path: Path, journal: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "new.db")
    written(path)
    assert journal.text.count("created ledger") == 1
    assert [record.levelname for record in journal.records] == ["INFO"]
    assert journal.records[0].getMessage() == f"created ledger {path}"


def test_a_new_ledger_beside_a_foreign_wal_logs_and_keeps_it(
    path: Path, tmp_path: Path, journal: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "crashed").mkdir()
    with recording(path):
        shutil.copy(beside(path, "-wal"), tmp_path / "crashed")
    left = tmp_path / "crashed" / "ledger.db-wal"
    content = left.read_bytes()
    journal.clear()
    written(tmp_path / "crashed" / "ledger.db")
    assert f"there may have been one before: {left} was left behind" in journal.text
    assert left.with_name("ledger.db-wal.old").read_bytes() == content


def test_a_new_ledger_in_place_of_a_deleted_one_is_logged(path: Path, journal: pytest.LogCaptureFixture) -> None:
    path.unlink()
    journal.clear()
    written(path)
    assert f"created ledger {path}; there may have been one before: {path}-wal was left behind" in journal.text
    assert not beside(path, "-wal.old").exists()


# A clean stop


def test_a_stop_leaves_an_empty_wal(path: Path) -> None:
    with recording(path):
        pass
    assert beside(path, "-wal").stat().st_size == 0
    beside(path, "-wal").unlink()
    beside(path, "-shm").unlink()
    goes_on(path, 80)


def test_a_stop_beside_a_reader_in_a_transaction_logs_the_remaining_wal(
    path: Path, journal: pytest.LogCaptureFixture
) -> None:
    ledger = opened(path)
    with reader(path, "BEGIN", "SELECT count(*) FROM key"):
        ledger.record(LATER, nowhere)
        ledger.close()
    assert f"a part of {path} is still in {path}-wal" in journal.text
    assert bans_in(path) == 80
    journal.clear()
    with recording(path):
        pass
    assert journal.text == ""
    assert beside(path, "-wal").stat().st_size == 0


def test_a_wal_that_a_reader_keeps_growing_is_logged_once_and_shrinks_later(
    path: Path, journal: pytest.LogCaptureFixture
) -> None:
    ledger = opened(path)
    engine = ledger._engine
    with reader(path, "BEGIN", "SELECT count(*) FROM key"):
        for number in range(80):
            engine.put({f"bans:test:{number % 2}": {"x": f"{number}" * 2_000_000}})
    assert journal.text.count("ledger.db-wal has grown to") == 1
    for _ in range(2):
        engine.put({"bans:test:0": {}, "bans:test:1": {}})
        ledger.record(LATER, nowhere)
    assert beside(path, "-wal").stat().st_size <= 64 << 20
    ledger.close()
    assert journal.text.count("ledger.db-wal has grown to") == 1


# The rule


@pytest.mark.parametrize("database", FileState)
@pytest.mark.parametrize("wal", FileState)
@pytest.mark.parametrize("checkpointed", [False, True])
def test_foreign_files_are_neither_copied_nor_read_with_the_ledger(
    database: FileState, wal: FileState, checkpointed: bool
) -> None:
    found = judge(Path("/l"), database, wal, FileState.SAME, checkpointed=checkpointed)
    if database is wal is FileState.SAME:
        assert found is None
        return
    assert found is not None
    assert not (found.save and FileState.WRITTEN in (database, wal))
    assert not (found.stale and database is FileState.SAME and wal in (FileState.SAME, FileState.WRITTEN))
    assert found.stale or not (
        wal is FileState.SAME and database in (FileState.REPLACED, FileState.GONE) and not checkpointed
    )
