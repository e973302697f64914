"""One writer of an embedded ledger, whatever happens to its lock; and what a member of the group can do to it."""

import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from banledger.errors import LedgerLocked, StoreUnavailable
from banledger.ledger.writer import open_to_write
from banledger.service.recorder import Recorder
from banledger.spool.reader import SpoolReader
from banledger.stores.sqlite.engine import open_writer
from tests.support.lines import ban, nowhere
from tests.support.segments import NOW, Writer
from tests.unit.stores.test_sqlite import _HOLD, _assert_whole, as_user, bans_in, needs_root, refuses, written

SERVICE, GROUP, NEIGHBOUR = 4243, 4242, 4244  # SERVICE is the user of `as_user`


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of 50 bans, closed."""
    return written(tmp_path / "ledger.db")


@contextmanager
def holder(path: Path) -> Iterator[None]:
    """Another process that writes to the ledger."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    try:
        yield
    finally:
        process.communicate()


def lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def test_without_its_lock_file_a_second_writer_is_refused_in_another_process(path: Path) -> None:
    with holder(path):
        lock_of(path).unlink()
        for _ in range(2):
            refuses(open_writer, path, LedgerLocked, 6, "another recorder")
    open_writer(path).close()


def test_without_its_lock_file_a_second_writer_is_refused_in_this_process(path: Path) -> None:
    with closing(open_writer(path)):
        lock_of(path).unlink()
        refuses(open_writer, path, LedgerLocked, 6, "another recorder")
        other = subprocess.run([sys.executable, "-c", _HOLD, str(path)], capture_output=True, text=True, check=False)
        assert "LedgerLocked" in other.stderr
    open_writer(path).close()


def test_a_hard_link_admits_no_second_writer(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.hardlink_to(path)
    with holder(path):
        refuses(open_writer, link, LedgerLocked, 6, "another recorder")
    with holder(link):
        refuses(open_writer, path, LedgerLocked, 6, "another recorder")
    _assert_whole(path)


def test_a_lock_file_is_private_and_an_earlier_one_becomes_so(path: Path) -> None:
    assert lock_of(path).stat().st_mode & 0o777 == 0o600
    lock_of(path).chmod(0o664)
    open_writer(path).close()
    assert lock_of(path).stat().st_mode & 0o777 == 0o600


def test_a_link_in_place_of_the_lock_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o644)
    lock_of(path).unlink()
    lock_of(path).symlink_to(other)
    refuses(open_writer, path, StoreUnavailable, 5, "ledger.db.lock")
    lock_of(path).unlink()
    lock_of(path).hardlink_to(other)
    open_writer(path).close()
    assert other.stat().st_mode & 0o777 == 0o644


# A member of the group


@pytest.fixture
def service_folder() -> Iterator[Path]:
    """A directory as the service has it: for its own user, and its group to read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        lib = folder / "lib"
        lib.mkdir()
        os.chown(lib, SERVICE, GROUP)
        lib.chmod(0o750)
        yield lib


@contextmanager
def neighbour(work: Callable[[], object]) -> Iterator[str]:
    """A process of another user of the group, in the middle of something; what became of that."""
    said_read, said_write = os.pipe()
    end_read, end_write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # we only exit in the child
        child = os.fork()
    if not child:
        for file in range(3, 1024):  # our locks would be the child's too
            if file not in (said_write, end_read):
                with suppress(OSError):
                    os.close(file)
        try:
            os.setgroups([])
            os.setgid(GROUP)
            os.setuid(NEIGHBOUR)
            kept = work()
            os.write(said_write, b"done")
            os.read(end_read, 1)
            del kept
        except BaseException as error:  # noqa: BLE001
            os.write(said_write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(said_write)
    os.close(end_read)
    try:
        yield os.read(said_read, 1000).decode()
    finally:
        os.close(end_write)
        os.waitpid(child, 0)
        os.close(said_read)


def flocked(file: Path) -> Callable[[], object]:
    def work() -> object:
        opened = file.open("rb")
        fcntl.flock(opened, fcntl.LOCK_EX)
        return opened

    return work


def read_locked(file: Path, *, whole_description: bool = False) -> Callable[[], object]:
    """A read lock on the whole file, for the process or for the open file description."""

    def work() -> object:
        opened = file.open("rb")
        if whole_description:
            lock = struct.pack("@hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(opened, fcntl.F_OFD_SETLK, lock)
        else:
            fcntl.lockf(opened, fcntl.LOCK_SH)
        return opened

    return work


@pytest.fixture
def served(service_folder: Path) -> Path:
    """The service's ledger of 50 bans, which root can write to in its place."""
    path = service_folder / "ledger.db"
    assert as_user(GROUP, lambda: bans_in(written(path))) == "50"
    return path


@needs_root
def test_another_user_cannot_lock_the_service_out_by_the_lock_file(served: Path) -> None:
    with neighbour(flocked(lock_of(served))) as became:
        assert became.startswith("PermissionError")
    lock_of(served).chmod(0o640)  # as earlier versions made it
    assert as_user(GROUP, lambda: open_writer(served).close()) == "None"
    with neighbour(flocked(lock_of(served))) as became:
        assert became.startswith("PermissionError")


@needs_root
@pytest.mark.parametrize("end", ["", "-wal"])
def test_another_users_flock_on_readable_files_blocks_nothing(served: Path, end: str) -> None:
    with neighbour(flocked(served.with_name(served.name + end))) as became:
        assert became == "done"
        assert as_user(GROUP, lambda: bans_in(written(served, ban("10.9.9.9")))) == "51"


@needs_root
@pytest.mark.parametrize("whole_description", [False, True])
def test_another_user_cannot_lock_the_service_out_by_the_database(
    served: Path, whole_description: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with neighbour(read_locked(served, whole_description=whole_description)) as became:
        assert became == "done"
        ledger = open_to_write(str(served), "bans", "UTC")
        assert ledger.record([ban("10.9.9.9")], nowhere).new == 1
        assert f"a process that only reads {served} locked it" in caplog.text
        refuses(open_writer, served, LedgerLocked, 6, "another recorder")
        ledger.close()
    assert bans_in(served) == 51


@needs_root
def test_another_users_lock_on_the_index_makes_the_service_wait(
    served: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    writer = Writer(spool)
    recorder = Recorder(SpoolReader(spool), lambda: open_to_write(str(served), "bans", "UTC"), nowhere)
    writer.write("10.9.0.1")
    assert recorder.step(NOW).new == 1
    writer.write("10.9.0.2")
    with neighbour(read_locked(served.with_name("ledger.db-shm"))) as became:
        assert became == "done"
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="can't use") as caught:
                recorder.step(NOW)
            assert caught.value.retryable
            assert "lslocks" in caught.value.hint
    assert recorder.step(NOW).new == 1
    recorder.close()
    writer.close()
    assert bans_in(served) == 52
    _assert_whole(served)


@needs_root
def test_the_service_waits_for_an_index_that_another_user_blocks(served: Path) -> None:
    index = served.with_name("ledger.db-shm")
    os.truncate(index, 0)
    with neighbour(read_locked(index)) as became:
        assert became == "done"
        refuses(open_writer, served, StoreUnavailable, 5, "locking protocol")
    assert bans_in(written(served, ban("10.9.9.9"))) == 51


@needs_root
def test_a_member_of_the_group_can_read_a_cleanly_stopped_ledger(served: Path) -> None:
    assert served.with_name("ledger.db-wal").stat().st_size == 0
    with neighbour(lambda: bans_in(served)) as became:
        assert became == "done"


# What root makes


@needs_root
def test_a_ledger_created_by_root_belongs_to_the_service(service_folder: Path) -> None:
    path = written(service_folder / "ledger.db")
    ledger = open_to_write(str(path), "bans", "UTC")
    for file in service_folder.iterdir():
        assert (file.stat().st_uid, file.stat().st_gid) == (SERVICE, GROUP), file
    ledger.close()
    assert as_user(GROUP, lambda: bans_in(written(path, ban("10.9.9.9")))) == "51"


@needs_root
def test_record_once_of_root_does_not_lock_the_service_out(service_folder: Path, tmp_path: Path) -> None:
    path = service_folder / "ledger.db"
    (tmp_path / "spool").mkdir()
    writer = Writer(tmp_path / "spool")
    writer.write("10.9.0.1")
    writer.close()
    command = [sys.executable, "-m", "banledger", "record", "--once", "--store", str(path)]
    subprocess.run([*command, "--spool", str(tmp_path / "spool")], check=True, umask=0o077, capture_output=True)
    with neighbour(lambda: bans_in(path)) as became:
        assert became == "done"
    assert as_user(GROUP, lambda: bans_in(written(path, ban("10.9.9.9")))) == "2"


@needs_root
def test_root_may_write_in_between_and_the_service_after_it(served: Path) -> None:
    lock_of(served).unlink()
    written(served, ban("10.9.9.8"))
    assert as_user(GROUP, lambda: bans_in(written(served, ban("10.9.9.9")))) == "52"


@needs_root
def test_the_error_for_a_ledger_of_root_names_the_chown_command(served: Path) -> None:
    for file in served.parent.iterdir():
        os.chown(file, 0, 0)
    command = f"chown --reference={served.parent} {served}*"
    said = as_user(GROUP, lambda: open_writer(served))
    assert said.startswith("StoreUnavailable 5: can't write ledger.db.lock")
    assert f"as root: {command}" in said
    written(served, ban("10.9.9.8"))  # gives it the lock file, but not what somebody else made
    said = as_user(GROUP, lambda: open_writer(served))
    assert f"as root: {command}" in said
    subprocess.run(command, shell=True, check=True)
    assert as_user(GROUP, lambda: bans_in(written(served, ban("10.9.9.9")))) == "52"


@needs_root
def test_files_of_root_in_its_own_directory_stay_roots(path: Path) -> None:
    assert {file.stat().st_uid for file in path.parent.glob("ledger.db*")} == {0}
