"""The embedded engine's file: what a user meets when something is wrong with it, and what a crash leaves."""

import fcntl
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from banledger.errors import (
    LedgerLocked,
    LedgerMissing,
    LedgerNewer,
    NotALedger,
    StoreError,
    StoreUnavailable,
)
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import Ledger, open_to_write
from banledger.service.recorder import Recorder
from banledger.spool.events import Event
from banledger.spool.reader import SpoolReader
from banledger.stores.api import Advance, Applied, Repair, Result
from banledger.stores.change import Change
from banledger.stores.sqlite.compaction import LIMITS, Limits
from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from banledger.stores.sqlite.reader import open_reader
from banledger.stores.sqlite.rows import RowWriter
from tests.contract.conftest import KEYS, dump
from tests.support.disk import fill
from tests.support.lines import T0, ban, gap, nowhere, prolong, unban
from tests.support.segments import NOW, Writer
from tests.support.world import ADDRESSES, Clock, live, wrong

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else or to mount")


def written(path: Path, *lines: Event) -> Path:
    """A ledger with some bans in it, closed."""
    ledger = open_to_write(str(path), "bans", "UTC")
    ledger.record(lines or [ban(f"192.0.2.{n}") for n in range(50)], nowhere)
    ledger.close()
    return path


def contents(path: Path) -> dict[str, object]:
    """All that a ledger holds."""
    reader = open_reader(path, KEYS.projection)
    try:
        return dump(reader)
    finally:
        reader.close()


def bans_in(path: Path) -> int:
    """How many bans a reader sees."""
    ledger = open_to_read(str(path), "bans")
    try:
        return sum(ledger.days().values())
    finally:
        ledger.close()


# What is wrong with a file, as it is said.


def refuses(open_: Callable[[Path], object], path: Path, kind: type[StoreError], code: int, *words: str) -> None:
    """Opening raises just this kind, with the path, the words and a hint."""
    with pytest.raises(StoreError) as caught:
        open_(path)
    error = caught.value
    assert (type(error), error.exit_code) == (kind, code), error
    assert str(path) in str(error)
    assert all(word in str(error) for word in words), error
    assert error.hint
    assert "\n" not in str(error) + error.hint


both = pytest.mark.parametrize("open_", [open_reader, open_writer])


@both
def test_a_directory_is_not_a_ledger(open_: Callable[[Path], object], path: Path) -> None:
    path.mkdir()
    refuses(open_, path, NotALedger, 4, "directory")


@both
@pytest.mark.parametrize("name", ["/", "."])
def test_a_path_without_a_name_is_not_a_ledger(open_: Callable[[Path], object], name: str) -> None:
    refuses(open_, Path(name), NotALedger, 4, "directory")


@both
@pytest.mark.parametrize("text", [b"127.0.0.1 localhost\n" * 500, b"x" * 30, b"SQLite format 3\0" + b"\xff" * 4096])
def test_another_file_is_not_a_ledger_and_is_not_changed(
    open_: Callable[[Path], object], path: Path, text: bytes
) -> None:
    path.write_bytes(text)
    refuses(open_, path, NotALedger, 4, "not a ledger")
    assert path.read_bytes() == text


@both
def test_another_database_is_not_a_ledger_and_is_not_changed(open_: Callable[[Path], object], path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bans (jail, ip)")
    other.close()
    before = path.read_bytes()
    refuses(open_, path, NotALedger, 4, "not banledger's")
    assert path.read_bytes() == before


@both
def test_a_file_of_a_newer_banledger_asks_for_an_upgrade(open_: Callable[[Path], object], path: Path) -> None:
    with sqlite3.connect(written(path)) as newer:
        newer.execute("PRAGMA user_version = 3")
    newer.close()
    refuses(open_, path, LedgerNewer, 4, "newer", "3")


def test_without_a_file_there_is_no_ledger_to_read(path: Path) -> None:
    refuses(open_reader, path, LedgerMissing, 4, "no ledger")
    refuses(open_reader, path / "below" / "nothing", LedgerMissing, 4, "no ledger")


def test_a_ledger_is_created_once_its_directory_exists(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "ledger.db"
    refuses(open_writer, path, StoreUnavailable, 5, "No such file or directory")
    path.parent.mkdir()
    assert bans_in(written(path)) == 50


def test_an_empty_file_can_be_written_and_not_read(path: Path) -> None:
    path.touch()
    refuses(open_reader, path, LedgerMissing, 4, "empty")
    assert bans_in(written(path)) == 50


@pytest.mark.parametrize("name", ["a b?c#d%41.db", "é'\".db", "file:x", "ledger.db\n"])
def test_the_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    assert bans_in(written(tmp_path / name)) == 50
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_reported_as_damaged(path: Path, part: float) -> None:
    whole = _without_wal(written(path)).read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(NotALedger, match="damaged") as caught:
        contents(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("seed", range(40))
def test_any_damaged_bytes_raise_only_store_errors(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    whole = bytearray(_without_wal(written(path)).read_bytes())
    for _ in range(rng.choice((1, 3, 30))):
        whole[rng.randrange(100, len(whole))] ^= rng.randrange(1, 256)
    path.write_bytes(whole)
    for use in (contents, _read_all, _record_again):
        with suppress(StoreError):
            use(path)


def _read_all(path: Path) -> None:
    ledger = open_to_read(str(path), "bans")
    try:
        ledger.bans([id_ for day in ledger.days() for id_ in ledger.ids_of_day(day)])
    finally:
        ledger.close()


def _record_again(path: Path) -> None:
    ledger = open_to_write(str(path), "bans", "UTC")
    try:
        ledger.record([ban(f"192.0.2.{n}", seen=T0 + 0.5) for n in range(60)], nowhere)
    finally:
        ledger.close()


def _without_wal(path: Path) -> Path:
    """The ledger as one file."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    assert not path.with_name(path.name + "-wal").exists()
    return path


def test_a_path_may_hold_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff %41?#\n\xc3\xa9")
    path.mkdir()
    assert bans_in(written(path / "ledger.db")) == 50


# Who may open it.


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, with a ledger as the service leaves it: group 4242, not for others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "lib").mkdir()
        written(folder / "lib" / "ledger.db")
        for path in [folder / "lib", *(folder / "lib").iterdir()]:
            os.chown(path, 0, 4242)
            path.chmod(0o750 if path.is_dir() else 0o640)
        yield folder / "lib"


def as_user(group: int, work: Callable[[], object]) -> str:
    """What a process of another user in that group gets: the result or the error, as text."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # we only exit in the child
        child = os.fork()
    if child:
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said
    try:
        os.setgroups([])
        os.setgid(group)
        os.setuid(4243)
        said = repr(work())
    except StoreError as error:
        said = f"{type(error).__name__} {error.exit_code}: {error} ({error.hint})"
    except BaseException as error:  # noqa: BLE001
        said = repr(error)
    finally:
        os.write(write_end, said.encode())
        os._exit(0)


@needs_root
def test_a_member_of_the_group_can_read_a_stopped_ledger(open_folder: Path) -> None:
    path = open_folder / "ledger.db"
    assert path.with_name("ledger.db-wal").exists()
    assert path.with_name("ledger.db-shm").exists()
    assert as_user(4242, lambda: bans_in(path)) == "50"


@needs_root
def test_a_member_of_the_group_can_read_while_the_recorder_writes(open_folder: Path) -> None:
    path = open_folder / "ledger.db"
    ledger = open_to_write(str(path), "bans", "UTC")
    ledger.record([ban("198.51.100.1")], nowhere)
    assert as_user(4242, lambda: bans_in(path)) == "51"
    ledger.close()


@needs_root
def test_a_user_without_read_access_gets_the_path_and_a_hint(open_folder: Path) -> None:
    path = open_folder / "ledger.db"
    said = as_user(4300, lambda: open_reader(path, KEYS.projection))
    assert said.startswith(f"StoreUnavailable 5: can't open {path}:")
    assert "group" in said
    open_folder.chmod(0o755)
    said = as_user(4300, lambda: open_reader(path, KEYS.projection))
    assert said.startswith(f"StoreUnavailable 5: can't open {path}:")


@needs_root
def test_a_user_without_write_access_gets_an_error(open_folder: Path) -> None:
    path = open_folder / "ledger.db"
    for group in (4242, 4300):
        said = as_user(group, lambda: open_writer(path, KEYS.projection))
        assert said.startswith("StoreUnavailable 5: can't "), said
        assert str(path) in said
    assert bans_in(path) == 50


# One writer, many readers.

_HOLD = """
import sys
from pathlib import Path
from banledger.stores.sqlite.engine import open_writer
engine = open_writer(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_writer_is_refused_in_this_process_and_in_another_by_any_name(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(written(path))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    link = path.with_name("link.db")
    link.symlink_to(path)
    other = path.parent / "elsewhere"
    other.symlink_to(path.parent)
    for name in (path, path.parent / ".." / path.parent.name / path.name, other / path.name):
        refuses(open_writer, name, LedgerLocked, 6, "another recorder")
    refuses(open_writer, link, LedgerLocked, 6, "another recorder")
    assert bans_in(path) == 50
    holder.communicate()
    open_writer(link).close()


def test_the_lock_ends_with_the_process(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    open_writer(path, KEYS.projection).close()


def test_a_failed_opening_leaves_no_lock_behind(path: Path) -> None:
    path.write_text("nothing of ours")
    with pytest.raises(NotALedger):
        open_writer(path, KEYS.projection)
    path.unlink()
    open_writer(path, KEYS.projection).close()


def test_a_ledger_is_never_closed_twice(path: Path) -> None:
    engine = open_writer(path, KEYS.projection)
    engine.close()
    again = open_writer(path, KEYS.projection)
    engine.close()
    refuses(open_writer, path, LedgerLocked, 6)
    again.close()


def test_a_reader_sees_what_was_committed_while_a_batch_is_being_written(path: Path) -> None:
    engine = open_writer(written(path), KEYS.projection)
    reader = open_reader(path, KEYS.projection)
    seen = []
    with engine._transaction():
        engine._name({"bans:test": "set"})
        engine._join([("bans:test", "x")])
        later = open_reader(path, KEYS.projection)
        seen += [reader.kinds(["bans:test"])[0], later.kinds(["bans:test"])[0]]
    seen.append(reader.kinds(["bans:test"])[0])
    assert seen == ["none", "none", "set"]
    later.close()
    reader.close()
    engine.close()


def test_a_reader_in_a_set_does_not_block_the_writer(path: Path) -> None:
    engine = open_writer(path, KEYS.projection)
    engine.mend(Repair(joins=[("bans:s", f"{n:05d}") for n in range(3000)]))
    reader = open_reader(path, KEYS.projection)
    members = reader.members("bans:s")
    first = next(members)
    engine.mend(Repair(joins=[("bans:s", "late")]))
    assert {first, *members} == {*(f"{n:05d}" for n in range(3000)), "late"}
    reader.close()
    engine.close()


def test_a_reader_outlives_the_writer_and_sees_what_the_next_one_writes(path: Path) -> None:
    reader = open_to_read(str(written(path)), "bans")
    written(path, ban("198.51.100.1"))
    assert sum(reader.days().values()) == 51
    reader.close()


def test_the_wal_stays_after_the_last_close_in_any_order(path: Path) -> None:
    beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
    reader = open_reader(written(path), KEYS.projection)
    assert all(file.exists() for file in beside)
    written(path, ban("198.51.100.1"))
    reader.close()
    assert all(file.exists() for file in beside)


def test_a_copy_of_the_stopped_ledger_with_its_wal_is_a_ledger(path: Path, tmp_path: Path) -> None:
    ledger = open_to_write(str(written(path)), "bans", "UTC")
    ledger.record([ban("198.51.100.1")], nowhere)
    ledger.close()
    (tmp_path / "copy").mkdir()
    for file in tmp_path.glob("ledger.db*"):
        shutil.copy(file, tmp_path / "copy")
    assert bans_in(tmp_path / "copy" / "ledger.db") == 51
    assert contents(tmp_path / "copy" / "ledger.db") == contents(path)


def test_a_copy_of_the_stopped_ledgers_file_is_complete(path: Path, tmp_path: Path) -> None:
    shutil.copy(written(path), tmp_path / "copy.db")
    assert path.with_name(path.name + "-wal").exists()
    assert bans_in(written(tmp_path / "copy.db", ban("198.51.100.1"))) == 51


# A disk that is full.


def test_bans_wait_while_the_disk_is_full_and_none_is_lost(small_disk: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    path = written(small_disk / "ledger.db")
    filler = small_disk / "filler"
    fill(filler)
    writer = Writer(spool)
    writer.write(*(f"10.0.{n >> 8}.{n & 255}" for n in range(1000)))
    writer.close()
    recorder = Recorder(SpoolReader(spool), lambda: open_to_write(str(path), "bans", "UTC"), nowhere)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="full") as caught:
            recorder.step(NOW)
        assert str(path) in str(caught.value)
    assert bans_in(path) == 50
    filler.unlink()
    assert recorder.drain(NOW).new == 1000
    assert bans_in(path) == 1050
    assert list(spool.glob("*.jsonl")) == []
    recorder.close()
    _assert_whole(path)


def test_a_ledger_that_no_longer_fits_on_its_disk_stays_whole(small_disk: Path) -> None:
    path = small_disk / "ledger.db"
    ledger = open_to_write(str(path), "bans", "UTC")
    recorded = 0
    with pytest.raises(StoreUnavailable, match="full"):
        for start in range(0, 100_000, 500):
            batch = [ban(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(start, start + 500)]
            recorded += ledger.record(batch, nowhere).new
    ledger.close()
    assert bans_in(path) == recorded > 0
    _assert_whole(path)


def test_on_a_full_disk_a_new_ledger_waits_for_room(small_disk: Path) -> None:
    fill(small_disk / "filler")
    with pytest.raises(StoreUnavailable, match=r"full|No space"):
        written(small_disk / "ledger.db")
    (small_disk / "filler").unlink()
    assert bans_in(written(small_disk / "ledger.db")) == 50


def _assert_whole(path: Path) -> None:
    reader = open_reader(path, KEYS.projection)
    assert list(check(reader, KEYS)) == []
    reader.close()


# A crash between any two statements.

_BEFORE: list[Event] = [
    *(ban(f"192.0.2.{n}", jail="sshd") for n in range(3)),
    unban("203.0.113.1", seen=T0 + 60),
    prolong("203.0.113.2", seen=T0 + 60),
]
_THEN: list[Event] = [
    ban("192.0.2.9", users=("root",), matches=("line",)),
    ban("203.0.113.1", jail="sshd"),  # what was pending becomes a ban
    prolong("192.0.2.0", seen=T0 + 9),
    unban("192.0.2.1", seen=T0 + 9),
    ban("192.0.2.2", seen=T0 + 0.5),  # changes its base
    ban("192.0.2.4", time=T0 + 40 * 86_400),  # another month
    ban("alice", jail="web"),
    unban("203.0.113.9", seen=T0 + 60),  # pending
    gap(),
]


class _Died(BaseException):
    """The process is gone."""


class _Dying:
    """A connection that dies before its n-th statement: from then on it does nothing more."""

    def __init__(self, real: sqlite3.Connection, left: int, error: BaseException) -> None:
        self.real, self.left, self.error = real, left, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def execute(self, *arguments: Any) -> Any:
        self._count()
        return self.real.execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        self._count()
        return self.real.executemany(*arguments)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error


class _Hiccup(_Dying):
    """One statement fails, later ones work."""

    def _count(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise self.error


def _through(engine: SqliteEngine, database: _Dying) -> None:
    """Let all statements of the engine go through that."""
    assert engine._rows and engine._kept_rows
    engine._db = engine._rows._db = engine._kept_rows._db = database  # type: ignore[assignment]


@pytest.fixture(params=[LIMITS, Limits(pack=2, recent=4, worth=1, most=8, look=1)], ids=["recent rows", "packs"])
def _limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows become packs late, and early."""
    monkeypatch.setattr(RowWriter, "limits", request.param)


def _die(engine: SqliteEngine) -> None:
    """Let go as a killed process does: nothing said, nothing committed."""
    assert isinstance(engine._db, _Dying)
    engine._db.real.close()
    engine._keeper.close()
    engine._files.close()
    engine._lock.close()
    engine._closed = True


def _changes(path: Path) -> list[Change]:
    """What `_THEN` makes the ledger apply. It is applied."""
    ledger = open_to_write(str(path), "bans", "UTC")
    engine = ledger._engine
    applied: list[Change] = []
    apply = engine.apply

    def watched(changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        changes = list(changes)
        outcomes = apply(changes, advances)
        applied.extend(change for change, outcome in zip(changes, outcomes, strict=True) if outcome == Applied())
        return outcomes

    engine.apply = watched  # type: ignore[method-assign]
    ledger.record(_THEN, nowhere)
    ledger.close()
    return applied


def _copy(path: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in path.parent.glob(path.name + "*"):
        shutil.copy(file, folder)
    return folder / path.name


def _dies_at(path: Path, changes: list[Change], left: int) -> bool:
    """Apply the changes, die before that statement; whether it came so far."""
    engine = open_writer(path, KEYS.projection)
    _through(engine, _Dying(engine._db, left, _Died()))
    try:
        assert engine.apply(changes) == [Applied()] * len(changes)
    except _Died:
        return True
    finally:
        _die(engine)
    return False


@pytest.mark.usefixtures("_limits")
def test_a_batch_is_atomic_at_every_statement(path: Path, tmp_path: Path) -> None:
    written(path, *_BEFORE, ban("192.0.2.250", jail="web", time=T0 + 40 * 86_400))  # both months and jails are known
    whole = _copy(path, tmp_path / "whole")
    changes = _changes(whole)
    before, after = contents(path), contents(whole)
    assert before != after
    states = []
    for left in range(200):
        copy = _copy(path, tmp_path / str(left))
        died = _dies_at(copy, changes, left)
        state = contents(copy)
        assert state in (before, after), left
        states.append(state == after)
        _assert_whole(copy)
        if not died:
            break
    assert states == sorted(states) and states[-1]  # packs are made after that
    assert states.count(False) >= 15


@pytest.mark.usefixtures("_limits")
def test_a_recorder_killed_at_any_statement_completes_its_lines(path: Path, tmp_path: Path) -> None:
    written(path, *_BEFORE)
    whole = contents(written(_copy(path, tmp_path / "whole"), *_THEN))
    left, died = 0, True
    while died:
        copy = _copy(path, tmp_path / str(left))
        engine = open_writer(copy, KEYS.projection)
        _through(engine, _Dying(engine._db, left, _Died()))
        died = False
        try:
            Ledger(engine, KEYS, "UTC").record(_THEN, nowhere)
        except _Died:
            died = True
        finally:
            _die(engine)
        _assert_whole(copy)
        written(copy, *_THEN)
        assert contents(copy) == whole, left
        _assert_whole(copy)
        left += 1
    assert left > 30


@pytest.mark.usefixtures("_limits")
def test_whois_resumes_after_a_kill_at_any_statement(path: Path, tmp_path: Path) -> None:
    lines = [ban(address, time=T0 + number) for number, address in enumerate(ADDRESSES)]
    left, died = 0, True
    while died:
        copy = tmp_path / f"{left}.db"
        clock = Clock(T0 + 100.0)
        engine = open_writer(copy, KEYS.projection)
        _through(engine, _Dying(engine._db, left, _Died()))
        died = False
        try:
            live(Ledger(engine, KEYS, "UTC"), lines, clock)
        except _Died:
            died = True
        finally:
            _die(engine)
        _assert_whole(copy)
        ledger = open_to_write(str(copy), "bans", "UTC")
        live(ledger, lines, clock)
        assert wrong(ledger) == [], left
        ledger.close()
        left += 7 if left > 60 else 1
    assert left > 100


@pytest.mark.usefixtures("_limits")
def test_a_failed_statement_undoes_its_batch_and_the_engine_continues(path: Path, tmp_path: Path) -> None:
    written(path, *_BEFORE)
    whole = contents(written(_copy(path, tmp_path / "whole"), *_THEN))
    failed = 0
    while _survives(_copy(path, tmp_path / str(failed)), failed, whole):
        failed += 1
    assert failed > 40


def _survives(path: Path, left: int, whole: dict[str, object]) -> bool:
    """Record while that statement fails, then again; whether it came so far."""
    ledger = open_to_write(str(path), "bans", "UTC")
    engine = ledger._engine
    assert isinstance(engine, SqliteEngine)
    trouble = sqlite3.OperationalError("disk I/O error")
    trouble.sqlite_errorcode = sqlite3.SQLITE_IOERR
    hiccup = _Hiccup(engine._db, left, trouble)
    _through(engine, hiccup)
    failed = False
    try:
        ledger.record(_THEN, nowhere)
    except StoreUnavailable as error:
        failed = str(path) in str(error)
    if failed:
        ledger.record(_THEN, nowhere)
    ledger.close()
    assert contents(path) == whole, left
    _assert_whole(path)
    return hiccup.left < 0  # or it was packs that were not made


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_bans_are_recorded_whatever_keeps_packs_from_being_made(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object) -> None:
        error = sqlite3.OperationalError("of packs")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(RowWriter, "compact", failing)
    written(path, *_BEFORE, *_THEN)
    assert "makes reports slower" in caplog.text
    monkeypatch.undo()
    _assert_whole(path)


def test_the_lock_file_may_be_left_over(path: Path) -> None:
    path.with_name(path.name + ".lock").write_text("")
    engine = open_writer(path, KEYS.projection)
    with path.with_name(path.name + ".lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    engine.close()


# Data that another program put into the tables.


def test_entries_that_are_not_text_do_not_hide_what_is_to_be_tidied(path: Path) -> None:
    written(path, prolong())
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for number in range(2000):
            key = "FROM key WHERE name GLOB '*:pending'"
            database.execute(f"INSERT INTO ranking SELECT id, CAST(? AS BLOB), 1 {key}", (str(number),))
            database.execute(f"INSERT INTO mark SELECT id, 1, CAST(? AS BLOB) {key}", (str(number),))
    with closing(open_to_write(str(path), "bans", "UTC")) as ledger:
        assert ledger.tidy(NOW) == 1


def test_a_size_that_is_no_number_stops_no_ban_of_a_day_in_two_months(path: Path) -> None:
    midnight = 1_796_083_200  # 2026-12-01 00:00 UTC, 01:00 in Berlin
    with closing(Ledger(open_writer(path), KEYS, "Europe/Berlin")) as ledger:
        ledger.record([ban("192.0.2.1", midnight - 60), ban("192.0.2.2", midnight + 60)], nowhere)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute("UPDATE key SET card = 'many' WHERE name GLOB '*:day:*'").rowcount == 2
    with closing(Ledger(open_writer(path), KEYS, "Europe/Berlin")) as ledger:
        assert ledger.record([ban("192.0.2.3", midnight + 60)], nowhere).new == 1
