"""`banledger store backup` and `store restore`: beside a recorder, killed, on a full disk, with files that are none."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.zstd import zstd
from tests.support.disk import fill
from tests.support.lines import T0, ban, encode
from tests.support.servers import NAMES, StoreServer, flavour_named

from .conftest import wait_for
from .test_forget import Place

pytestmark = pytest.mark.e2e

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(params=["embedded", *NAMES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    store = str(tmp_path / "ledger.db")
    if request.param != "embedded":
        server = request.getfixturevalue("_shared_servers")(flavour_named(request.param))
        server.flush()
        store = server.url
    made = Place(tmp_path, store)
    made.said.touch()
    yield made
    made.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, str(tmp_path / "ledger.db"))
    made.write(*some(500))
    made.run("record", "--once")
    made.said.touch()
    yield made
    made.close()


def some(bans: int, start: int = 0) -> list[bytes]:
    return [
        encode(ban(f"10.0.{n % 10}.{n // 10 % 250}", time=T0 + n, seen=T0 + n + 1.0, seq=n + 1))
        for n in range(start, start + bans)
    ]


def ids(store: str) -> set[str]:
    with closing(open_to_read(store, "bans")) as reader:
        assert list(check(reader.store(), reader.keys)) == []
        return {id_ for day in reader.days() for id_ in reader.ids_of_day(day)}


def test_a_backup_is_whole_while_a_thousand_bans_come_each_second(place: Place, tmp_path: Path) -> None:
    place.write(*some(3000))
    place.record()
    wait_for(lambda: place.bans() == 3000)
    stop, written = Event(), [3000]

    def come() -> None:
        for number in range(2, 100):
            if stop.is_set():
                return
            place.write(*some(100, start=2800 + number * 100), number=number)
            written[0] += 100
            time.sleep(0.1)

    coming = Thread(target=come)
    coming.start()
    try:
        before = place.bans()
        said = place.run("store", "backup", str(tmp_path / "b.zst"))
        after = place.bans()
    finally:
        stop.set()
        coming.join()
    found = re.match(r"backed up ([\d,]+) bans to \S+b.zst \(\S+ kB\)", said)
    assert found, said
    restored = str(tmp_path / "restored.db")
    assert place.run("store", "restore", str(tmp_path / "b.zst"), "--store", restored).startswith("restored ")
    there = ids(restored)
    assert before <= len(there) == int(found[1].replace(",", "")) <= after
    wait_for(lambda: place.bans() == written[0])
    time.sleep(0.5)
    assert there <= ids(place.store)


def test_what_came_after_a_backup_is_recorded_again_or_is_a_gap(embedded: Place, tmp_path: Path) -> None:
    embedded.run("store", "backup", str(tmp_path / "b.zst"))
    embedded.record()
    embedded.write(*some(100, start=500), number=2)
    wait_for(lambda: embedded.bans() == 600)
    embedded.recorders[-1].terminate()
    embedded.recorders[-1].wait()
    embedded.write(*some(50, start=600), number=3)

    assert "is kept as" in embedded.run("store", "restore", str(tmp_path / "b.zst"), "--replace")
    assert embedded.bans() == 500
    embedded.record()
    wait_for(lambda: embedded.bans() == 550)
    wait_for(lambda: "the store went back: 100 lines are lost" in embedded.said.read_text())
    with closing(open_to_read(embedded.store, "bans")) as reader:
        wait_for(lambda: sum(gap.bans + gap.others for gap in reader.gaps()) >= 100)
    embedded.write(*some(650), number=4)
    wait_for(lambda: embedded.bans() == 650)
    ids(embedded.store)


@pytest.mark.parametrize("name", NAMES)
def test_a_backup_is_restored_to_a_server_and_back(name: str, embedded: Place, tmp_path: Path) -> None:
    embedded.run("store", "backup", str(tmp_path / "b.zst"))
    with StoreServer(flavour_named(name), tmp_path / "server") as server:
        assert embedded.run("store", "restore", str(tmp_path / "b.zst"), "--store", server.url).endswith(
            f"restored 500 bans from {tmp_path / 'b.zst'}\n"
        )
        assert ids(server.url) == ids(embedded.store)
        embedded.run("store", "backup", str(tmp_path / "c.zst"), "--store", server.url)
        embedded.run("store", "restore", str(tmp_path / "c.zst"), "--store", str(tmp_path / "again.db"))
    assert ids(str(tmp_path / "again.db")) == ids(embedded.store)


def test_a_pipe_carries_a_backup(embedded: Place, tmp_path: Path) -> None:
    command = f"{sys.executable} -m banledger store"
    pipe = f"{command} backup - | {command} restore - --store {tmp_path}/copy.db"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", pipe], env=embedded.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "backed up 500 bans to standard output" in done.stderr
    assert done.stdout == "restored 500 bans from standard input\n"
    assert ids(str(tmp_path / "copy.db")) == ids(embedded.store)


@AS_ROOT
def test_a_backup_has_the_owner_and_mode_of_the_ledger(embedded: Place, tmp_path: Path) -> None:
    os.chown(embedded.store, 1234, 4321)
    embedded.run("store", "backup", str(tmp_path / "b.zst"))
    for path in (tmp_path / "b.zst", tmp_path / "ledger.db"):
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (1234, 4321, 0o640)
    embedded.run("store", "restore", str(tmp_path / "b.zst"), "--replace")
    there = (tmp_path / "ledger.db").stat()
    assert (there.st_uid, there.st_gid, there.st_mode & 0o777) == (1234, 4321, 0o640)


def test_a_restore_beside_a_recorder_or_over_a_ledger_is_refused(embedded: Place, tmp_path: Path) -> None:
    embedded.run("store", "backup", str(tmp_path / "b.zst"))
    assert "--replace puts the backup" in embedded.run("store", "restore", str(tmp_path / "b.zst"), code=4)
    embedded.record()
    wait_for(lambda: "recording from" in embedded.said.read_text())
    time.sleep(0.5)
    assert "another recorder writes" in embedded.run("store", "restore", str(tmp_path / "b.zst"), "--replace", code=6)
    assert embedded.bans() == 500


def _broken(kind: str, whole: bytes) -> bytes:
    match kind:
        case "empty":
            return b""
        case "text":
            return b"once upon a time\n" * 100
        case "cut":
            return whole[: len(whole) // 2]
        case "flipped":
            middle = len(whole) // 2
            return whole[:middle] + bytes([whole[middle] ^ 0x40]) + whole[middle + 1 :]
        case "foreign":
            return zstd.compress(b"SQLite format 3\x00" + b"\x00" * 5000)
        case "damaged":
            plain = bytearray(zstd.decompress(whole))
            plain[20_000:40_000] = b"\xff" * 20_000
            return zstd.compress(bytes(plain))
        case _:
            return zstd.compress(b"once upon a time")


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "flipped", "foreign", "damaged", "other"])
def test_a_file_that_is_no_whole_backup_changes_nothing(kind: str, embedded: Place, tmp_path: Path) -> None:
    embedded.run("store", "backup", str(tmp_path / "b.zst"))
    before = ids(embedded.store)
    (tmp_path / "bad.zst").write_bytes(_broken(kind, (tmp_path / "b.zst").read_bytes()))
    command = [sys.executable, "-m", "banledger", "store", "restore", str(tmp_path / "bad.zst"), "--replace"]
    done = subprocess.run(command, env=embedded.environment, capture_output=True, text=True)
    assert done.returncode in (1, 4, 5) and done.stderr.startswith("error: ") and "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert ids(embedded.store) == before
    assert not list(tmp_path.glob("*restor*"))


def test_kills_leave_the_old_file_or_the_new_one(embedded: Place, tmp_path: Path) -> None:
    target, dice = tmp_path / "b.zst", random.Random(7)
    embedded.run("store", "backup", str(target))
    before = ids(embedded.store)
    for _ in range(12):
        for words in (("backup", str(target)), ("restore", str(target), "--replace")):
            command = [sys.executable, "-m", "banledger", "store", *words]
            one = subprocess.Popen(
                command, env=embedded.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(dice.uniform(0.05, 0.5))
            one.send_signal(signal.SIGKILL)
            one.wait()
            assert ids(embedded.store) == before
    embedded.run("store", "backup", str(target))
    embedded.run("store", "restore", str(target), "--replace")
    assert ids(embedded.store) == before
    assert not list(tmp_path.glob(".banledger-backup-*")) and not (tmp_path / "ledger.db.restoring").exists()


def test_a_full_disk_keeps_the_old_backup_and_leaves_nothing(embedded: Place, small_disk: Path) -> None:
    (small_disk / "b.zst").write_bytes(b"the old one")
    fill(small_disk / "filling")
    said = embedded.run("store", "backup", str(small_disk / "b.zst"), code=5)
    assert "full" in said and "make room" in said
    assert (small_disk / "b.zst").read_bytes() == b"the old one"
    assert sorted(one.name for one in small_disk.iterdir()) == ["b.zst", "filling"]
