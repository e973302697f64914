"""One recorder reads a spool."""

import fcntl
import grp
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from banledger.errors import SpoolLocked
from banledger.ledger.writer import open_to_write
from banledger.service.recorder import Recorder
from banledger.spool.lock import NAME, SpoolLock
from banledger.spool.reader import SpoolReader
from tests.support.lines import nowhere
from tests.support.segments import NOW, Writer

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of other owners")


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[SpoolLock]:
    made = SpoolLock(tmp_path, "one")
    yield made
    made.release()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SpoolLock]:
    made = SpoolLock(tmp_path, "two")
    yield made
    made.release()


def test_a_second_recorder_gets_the_name_of_the_first(lock: SpoolLock, other: SpoolLock, tmp_path: Path) -> None:
    assert lock.hold() and lock.hold()
    with pytest.raises(SpoolLocked, match=r"another recorder reads the spool .*: 'one'") as caught:
        other.hold()
    assert "systemctl stop banledger" in caught.value.hint
    assert "remove" not in caught.value.hint  # the lock is alive: without its file two would read
    lock.release()
    assert list(tmp_path.iterdir()) == []
    assert other.hold()


def test_a_look_at_the_lock_keeps_no_recorder_out(lock: SpoolLock, tmp_path: Path) -> None:
    assert lock.hold()
    lock.release()
    (tmp_path / NAME).touch(0o600)
    with (tmp_path / NAME).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        Timer(0.02, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        assert lock.hold()
        time.sleep(0.05)


def test_a_killed_recorder_holds_no_lock(lock: SpoolLock, tmp_path: Path) -> None:
    code = (
        "import os, pathlib, time; from banledger.spool.lock import SpoolLock\n"
        f"lock = SpoolLock(pathlib.Path({str(tmp_path)!r}), 'killed'); lock.hold(); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(SpoolLocked, match="killed"):
            lock.hold()
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / NAME).exists()
    assert lock.hold()


def test_members_of_the_group_cannot_open_the_lock_file(lock: SpoolLock, tmp_path: Path) -> None:
    lock.hold()
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def _readable(path: Path) -> None:
    path.touch()
    path.chmod(0o640)


def _foreign(path: Path) -> None:
    path.touch(0o600)
    os.chown(path, 12345, 12345)


def _link(path: Path) -> None:
    path.symlink_to("elsewhere")


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "file").touch()


@pytest.mark.parametrize("plant", [_readable, pytest.param(_foreign, marks=AS_ROOT), _link, _folder, os.mkfifo])
def test_a_file_of_a_group_member_is_not_a_lock(
    lock: SpoolLock, other: SpoolLock, tmp_path: Path, plant: "object"
) -> None:
    plant(tmp_path / NAME)  # type: ignore[operator]
    if (tmp_path / NAME).is_file():
        held = os.open(tmp_path / NAME, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    assert lock.hold()
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(SpoolLocked):
        other.hold()


@AS_ROOT
def test_root_does_not_lock_out_the_service_of_its_group(
    lock: SpoolLock, other: SpoolLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = grp.struct_group(("nobody-spool", "x", tmp_path.stat().st_gid, []))
    monkeypatch.setattr(grp, "getgrgid", lambda _: named)
    service = pwd.getpwnam("nobody").pw_uid
    assert lock.hold()
    assert (tmp_path / NAME).stat().st_uid == service  # what root's own recorder leaves is the service's to open

    with pytest.raises(SpoolLocked, match=r"another recorder reads the spool .*: 'one'"):
        other.hold()
    assert lock.held


def test_a_holder_whose_file_was_removed_notices(lock: SpoolLock, other: SpoolLock, tmp_path: Path) -> None:
    lock.hold()
    (tmp_path / NAME).unlink()
    assert not lock.held
    assert other.hold()
    with pytest.raises(SpoolLocked, match="two"):
        lock.hold()


def test_a_missing_spool_has_no_lock(tmp_path: Path) -> None:
    assert not SpoolLock(tmp_path / "missing").hold()


def recorder(spool: Path, store: Path) -> Recorder:
    return Recorder(SpoolReader(spool), lambda: open_to_write(str(store), "bans", "UTC"), nowhere)


def test_two_recorders_of_a_spool_that_take_turns_find_no_false_gap(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    writer = Writer(spool)
    one, two = recorder(spool, tmp_path / "one.db"), recorder(spool, tmp_path / "two.db")
    gaps = new = 0
    for turn in range(6):
        writer.write(*(f"10.0.{turn}.{number}" for number in range(5)))
        writer.rotate()
        first, second = (two, one) if turn % 2 else (one, two)
        for moment in range(3):
            done = first.step(NOW + turn + moment / 10)
            gaps, new = gaps + done.gaps, new + done.new
        with pytest.raises(SpoolLocked):
            second.step(NOW + turn)
        (spool / NAME).unlink()  # by somebody of the group: now the other one takes it
    writer.close()
    for made in (one, two):
        made.close()
    assert gaps == 0
    assert new >= 30  # each reads what it has open to the end, into a ledger of its own


def test_a_spool_without_lock_is_read_and_reports_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a read-only file system."""
    spool = tmp_path / "spool"
    spool.mkdir()
    writer = Writer(spool)
    monkeypatch.setattr(SpoolLock, "hold", lambda _: False)
    made = recorder(spool, tmp_path / "ledger.db")
    writer.write("192.0.2.1")
    assert made.step(NOW).new == 1
    writer.seq += 5
    writer.write("192.0.2.2")
    done = [made.step(NOW + second) for second in range(1, 5)]
    assert [one.gaps for one in done] == [0] * 4
    writer.close()
    made.step(NOW + 9)
    assert not writer.path.exists()
    made.close()
    assert [record.message for record in caplog.records if "no other recorder" in record.message]
